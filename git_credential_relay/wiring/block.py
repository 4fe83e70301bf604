"""One marked block of lines at the end of a text file that belongs to somebody else: pure."""

from __future__ import annotations

BEGIN = "# begin git-credential-relay\n"
END = "# end git-credential-relay\n"


def make_block(lines: str) -> str:
    """`lines` between the marks, with the reason for people who find them."""
    reason = "# Written by `git-credential-relay install`, taken away by `uninstall`.\n"
    return BEGIN + reason + lines + END


def split(text: str) -> tuple[str, str]:
    """`text` without the block, and the block; empty when there is none.

    A newline that the block needed before itself stays with the text.
    """
    start = 0 if text.startswith(BEGIN) else text.find("\n" + BEGIN) + 1
    end = text.find("\n" + END, start) + 1
    if not text.startswith(BEGIN, start) or not end:
        return text, ""
    end += len(END)
    return text[:start] + text[end:], text[start:end]


def append(text: str, block: str) -> str:
    """`text` with the block at its end: git reads in order, and the last reset counts."""
    if text and not text.endswith("\n"):
        text += "\n"
    return text + block
