"""The newest good configuration: an edit counts for the next request, a broken one for none.

Runs on the event loop and never awaits: looking costs one `stat`, parsing happens after an edit
alone. Until the next edit, whatever was good last stays in force.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

from git_credential_relay.broker.config.load import BrokerConfig, load_config
from git_credential_relay.errors import ConfigError

# A file system counts time in steps of some milliseconds: two edits within one leave the same
# stamp, so a file is looked into again until the step it was changed in is certainly over.
SETTLING_SECONDS = 0.1
# How often a configuration that was refused is tried again while nobody edits it.
RETRY_SECONDS = 1.0

_log = logging.getLogger(__name__)

Stamp = tuple[int, int, int, int]


class FileWatch:
    """Tells whether a file may have changed since it was last read.

    `clock` is monotonic, in seconds.
    """

    __slots__ = ("_clock", "_is_settled", "_path", "_seen_at", "_stamp")

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = os.fspath(path)
        self._clock = clock
        self._stamp: Stamp | None = None
        self._seen_at = 0.0
        self._is_settled = False

    def is_changed(self) -> bool:
        """Whether the file is to be read again; True at the first call.

        Asked before the reading: an edit in between is seen by the next call.
        """
        stamp = _stamp(self._path)
        if stamp != self._stamp:
            self._stamp = stamp
            self._seen_at = self._clock()
            self._is_settled = False
            return True
        if self._is_settled:
            return False
        self._is_settled = self._clock() - self._seen_at > SETTLING_SECONDS
        return True


class ConfigWatch:
    """Holds the newest good BrokerConfig of a file.

    `trouble` is why a later edit of the file does not count, None when it does; for readiness.
    Raises ConfigError when there is no good one to begin with.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._watch = FileWatch(path, clock)
        self._watch.is_changed()
        self._last_text = _text(path)
        self._again_at = 0.0
        self._newest = load_config(path)
        self._callbacks: list[Callable[[BrokerConfig], None]] = []
        self.trouble: str | None = None

    @property
    def newest(self) -> BrokerConfig:
        """The newest good configuration that was seen, without another look at the file."""
        return self._newest

    def on_change(self, callback: Callable[[BrokerConfig], None]) -> None:
        """Have `callback` build what depends on a new configuration, before anybody sees it.

        A ConfigError from it refuses the configuration as a mistake in the file would. What
        callbacks that were registered earlier have built is then built anew from the old one.
        """
        self._callbacks.append(callback)

    def current(self) -> BrokerConfig:
        """The newest good configuration, after a look whether the file has changed."""
        if self._watch.is_changed():
            text = _text(self._path)
            if text is None or text != self._last_text:
                self._take(text)
        elif self.trouble is not None and self._clock() >= self._again_at:
            # What was wrong may be a file that the configuration names, and be mended by now.
            self._take(self._last_text)
        return self._newest

    def reload(self) -> str | None:
        """Read everything anew, whether it has changed or not (SIGHUP); the trouble, if any.

        Keys and other files that the configuration names are read again by the callbacks.
        """
        self._watch.is_changed()
        self._take(_text(self._path))
        return self.trouble

    def _take(self, text: str | None) -> None:
        self._last_text = text
        try:
            config = load_config(self._path)
            self._announce(config)
        except ConfigError as error:
            if self.trouble != error.message:
                _log.error("the configuration stays as it was: %s", error.message)
            self.trouble = error.message
            self._again_at = self._clock() + RETRY_SECONDS
            return
        self._newest = config
        self.trouble = None
        _log.info("took the configuration from %s", self._path)

    def _announce(self, config: BrokerConfig) -> None:
        for done, callback in enumerate(self._callbacks):
            try:
                callback(config)
            except ConfigError:
                for earlier in self._callbacks[:done]:
                    earlier(self._newest)
                raise


def _stamp(path: str) -> Stamp | None:
    try:
        info = os.stat(path)
    except OSError:
        return None
    # The inode for a file moved into place, and ctime for one whose mtime was set back.
    return info.st_mtime_ns, info.st_ctime_ns, info.st_size, info.st_ino


def _text(path: Path) -> str | None:
    try:
        return path.read_bytes().decode()
    except (OSError, UnicodeDecodeError):
        return None
