"""One marked block of lines at the end of a text file that belongs to somebody else: pure."""

from __future__ import annotations

BEGIN = "# begin git-credential-relay\n"
END = "# end git-credential-relay\n"
REASON = "# Written by `git-credential-relay install`, taken away by `uninstall`.\n"


def make_block(lines: str) -> str:
    """`lines` between the marks, with the reason for people who find them."""
    return BEGIN + REASON + lines + END


def split(text: str) -> tuple[str, str]:
    """`text` without the block, and the block; empty when there is none.

    A newline that the block needed before itself stays with the text.
    """
    # The last of both marks: others may have written something that looks like the first.
    end = text.rfind("\n" + END) + 1
    start = text.rfind("\n" + BEGIN, 0, end) + 1
    if not end or not text.startswith(BEGIN, start):
        return text, ""
    end += len(END)
    return text[:start] + text[end:], text[start:end]


def without_marks(text: str) -> str:
    """`text` without what is left of a block whose other marks somebody has removed."""
    ours = {BEGIN.strip(), REASON.strip(), END.strip()}
    return "".join(line for line in text.splitlines(keepends=True) if line.strip() not in ours)


def append(text: str, block: str) -> str:
    """`text` with the block at its end: git reads in order, and the last reset counts."""
    if text and not text.endswith("\n"):
        text += "\n"
    return text + block
