"""The demo's timeline: formatting is pure, and one small class writes."""

import textwrap
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TextIO

_ACTOR_COLOURS = {
    "agent": "36",
    "relay": "35",
    "sidecar": "35",
    "broker": "34",
    "admin": "32",
    "forge": "33",
    "foreign": "31",
}
_ACTOR_WIDTH = max(map(len, _ACTOR_COLOURS))
_INDENT = " " * (13 + _ACTOR_WIDTH)
_TEXT_COLUMNS = 100 - len(_INDENT)


@dataclass(frozen=True, slots=True)
class Style:
    """What the output stream can show."""

    is_coloured: bool = False
    is_unicode: bool = True

    def paint(self, text: str, colour: str) -> str:
        """Return the text in a colour (an SGR number), or as it is."""
        return f"\x1b[{colour}m{text}\x1b[0m" if self.is_coloured else text

    def mark(self, is_kept: bool) -> str:
        """Return the sign of a kept or broken promise."""
        signs = ("✓", "✗") if self.is_unicode else ("ok", "BROKEN")
        return self.paint(*((signs[0], "1;32") if is_kept else (signs[1], "1;31")))


def style_for(out: TextIO, environment: Mapping[str, str]) -> Style:
    """Return what this stream can show; NO_COLOR in the environment turns colour off."""
    try:
        "✓✗".encode(getattr(out, "encoding", None) or "utf-8")
        is_unicode = True
    except (UnicodeEncodeError, LookupError):
        is_unicode = False
    return Style(out.isatty() and not environment.get("NO_COLOR"), is_unicode)


def short_hash(token_sha256: str | None) -> str:
    """Return the few characters by which a person tells tokens apart."""
    return "no token" if token_sha256 is None else f"#{token_sha256[:8]}"


def format_event(seconds: float, actor: str, text: str, style: Style) -> str:
    """Return one line of the timeline; a long text is wrapped and indented below it."""
    first, *more = [part for line in text.splitlines() for part in _wrap(line)] or [""]
    name = style.paint(actor.ljust(_ACTOR_WIDTH), _ACTOR_COLOURS.get(actor, "0"))
    lines = [f"  {seconds:6.2f} s  {name}  {first}", *(_INDENT + line for line in more)]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _wrap(line: str) -> list[str]:
    return textwrap.wrap(
        line, _TEXT_COLUMNS, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )


def format_step(number: int, title: str, style: Style) -> str:
    """Return the heading of a step."""
    return "\n" + style.paint(f"{number}  {title}", "1") + "\n"


def format_verdict(is_kept: bool, text: str, style: Style) -> str:
    """Return the promise of a step with its sign; further lines are indented below it."""
    first, *more = text.splitlines()
    lines = [f"   {style.mark(is_kept)} {first}", *(f"     {line}" for line in more)]
    return "\n".join(lines) + "\n"


def format_chapter(title: str, style: Style) -> str:
    """Return the heading of several steps."""
    return "\n" + style.paint(f"== {title} ==", "1") + "\n"


def format_left_out(reason: str) -> str:
    """Return the end of a step that cannot be shown here."""
    return f"   - left out: {reason}\n"


def format_summary(
    kept: int, total: int, seconds: float, tokens: int, style: Style, left_out: int = 0
) -> str:
    """Return the last line; `total` does not count the steps that were left out."""
    rest = f"; {left_out} could not be shown here" if left_out else ""
    return (
        f"\n{style.mark(kept == total)} {kept} of {total} promises kept in {seconds:.1f} s, "
        f"with {tokens} short-lived tokens and none left behind{rest}\n"
        if kept == total
        else f"\n{style.mark(False)} {total - kept} of {total} promises broken\n"
    )


class Timeline:
    """Writes the timeline line by line, from any thread, with the time since its beginning."""

    def __init__(
        self, out: TextIO, style: Style, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._out = out
        self._style = style
        self._clock = clock
        self._start = clock()
        self._lock = threading.Lock()

    @property
    def seconds(self) -> float:
        """Seconds since the timeline began."""
        return self._clock() - self._start

    def line(self, text: str) -> None:
        """Write a plain line."""
        self._write(text + "\n")

    def event(self, actor: str, text: str) -> None:
        """Write what someone just did."""
        self._write(format_event(self.seconds, actor, text, self._style))

    def chapter(self, title: str) -> None:
        """Begin several steps."""
        self._write(format_chapter(title, self._style))

    def step(self, number: int, title: str) -> None:
        """Begin a step."""
        self._write(format_step(number, title, self._style))

    def verdict(self, is_kept: bool, text: str) -> None:
        """End a step."""
        self._write(format_verdict(is_kept, text, self._style))

    def left_out(self, reason: str) -> None:
        """End a step that cannot be shown here."""
        self._write(format_left_out(reason))

    def summary(self, kept: int, total: int, tokens: int, left_out: int = 0) -> None:
        """End the timeline."""
        self._write(format_summary(kept, total, self.seconds, tokens, self._style, left_out))

    def _write(self, text: str) -> None:
        with self._lock:
            self._out.write(text)
            self._out.flush()
