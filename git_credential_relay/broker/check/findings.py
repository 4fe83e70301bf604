"""What a check has found, with its place in the configuration."""

from __future__ import annotations

import stat
from collections.abc import Callable
from dataclasses import dataclass

from git_credential_relay.broker.config.load import BrokerConfig
from git_credential_relay.broker.config.locate import line_of
from git_credential_relay.errors import RelayError

OK, WARN, FAIL = "ok", "warn", "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: `status` is ok, warn or fail, `code` stable, `fix` what to do."""

    name: str
    status: str
    code: str
    message: str
    fix: str | None = None


class Findings:
    """Collects what is found. A mistake is told with its place in the file."""

    def __init__(self, config: BrokerConfig) -> None:
        self.config = config
        self.all: list[Finding] = []

    def ok(self, name: str, message: str) -> None:
        """All is well with it."""
        self.all.append(Finding(name, OK, OK, message))

    def warn(self, name: str, code: str, message: str, fix: str | None = None) -> None:
        """It works, and could be better."""
        self.all.append(Finding(name, WARN, code, message, fix))

    def fail(self, name: str, error: RelayError, place: str | None = None) -> None:
        """It does not work; `place` is what in the configuration says so."""
        line = line_of(self.config.text, place) if place else None
        where = f"{self.config.path}:{line}: " if line else ""
        self.all.append(Finding(name, FAIL, error.code, f"{where}{error.message}", error.hint))

    def has_failed(self, beginning: str) -> bool:
        """Whether anything has failed whose name begins so."""
        return any(f.status == FAIL and f.name.startswith(beginning) for f in self.all)

    def attempt(self, name: str, place: str, work: Callable[[], str | None]) -> None:
        """What `work` says is fine, or the error it raises."""
        try:
            message = work()
        except RelayError as error:
            self.fail(name, error, place)
        else:
            if message is not None:
                self.ok(name, message)

    def warn_if_public(self, name: str, references: str | list[str] | None) -> None:
        """Warn of files of secrets that every user of the machine may read."""
        for reference in [references] if isinstance(references, str) else references or []:
            path = self.config.resolve(reference)
            if reference.startswith("env:") or not path.exists():
                continue
            if path.stat().st_mode & stat.S_IROTH:
                self.warn(name, "public-secret", f"everybody may read {path}", f"chmod 600 {path}")
