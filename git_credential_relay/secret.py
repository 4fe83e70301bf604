"""A secret that cannot be printed by accident."""

from __future__ import annotations

MASK = "********"


class Secret:
    """A secret value; `str`, `repr` and `format` show a mask, only `reveal()` the value."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself; call it only where it leaves for its one rightful reader."""
        return self._value

    def __str__(self) -> str:
        return MASK

    def __repr__(self) -> str:
        return f"Secret({MASK!r})"

    def __format__(self, spec: str) -> str:
        return format(MASK, spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __reduce__(self) -> str:
        # A pickle, a copy or a JSON dump of an object holding it would be a leak.
        raise TypeError("a Secret cannot be serialised")


def token_sha256(token: Secret) -> str:
    """Base64 of the token's SHA-256: how a token appears in traces and audit logs.

    The form of GitHub's `hashed_token`, so that both logs can be joined.
    """
    from base64 import b64encode  # not on the warm path
    from hashlib import sha256

    return b64encode(sha256(token.reveal().encode()).digest()).decode()


# Where a token may begin: not inside a word, but after `_` (TOKEN_…) and a URL's %3A as well.
_START = r"(?:(?<![A-Za-z0-9])|(?<=%[0-9A-Fa-f]{2}))"
# What tokens and credentials look like in text. Lengths are open: GitHub's installation tokens
# have grown to some 520 characters, and a redactor with a fixed length leaks their tail.
_TOKEN_PATTERNS = (
    # The user of an ssh address is no secret, unless a password follows.
    r"(?<!ssh://)(?<=://)\S+(?=@)",
    r"(?<=ssh://)[^\s:@]*:\S+(?=@)",
    _START + r"(?:gh[a-z]_|github_pat_|gl(?:agent|cbt|dt|ffct|ft|imt|oas|pat|ptt|rtr?|soat|wt)-)"
    r"[A-Za-z0-9_.\-]+",
    # GitLab's kinds to come; shorter ones would be names such as glab-cli.
    _START + r"gl[a-z]{2,6}-[A-Za-z0-9_.\-]{20,}",
    _START + r"eyJ[A-Za-z0-9_\-]+\.[A-Za-z0-9_.\-]+",
    r"(?i)(?<=bearer )\S+",
    r"(?i)(?<=basic )\S+",
)


def redact(text: str, *secrets: Secret) -> str:
    """`text` with the given secrets, and everything that looks like a token, masked."""
    import re  # not on the warm path

    for secret in secrets:
        if secret:
            text = text.replace(secret.reveal(), MASK)
    for pattern in _TOKEN_PATTERNS:
        text = re.sub(pattern, MASK, text)
    return text


def is_plain_command(text: str) -> bool:
    """Whether somebody else's command may be shown: words, none of which could be a secret."""
    import re  # not on the warm path

    if not re.fullmatch(r"!?[\w@%+=:,./~\"' -]*", text):
        return False
    if re.search(r"pass|token|secret|echo|printf", text, re.IGNORECASE) or redact(text) != text:
        return False
    known = ("--timeout=", "--file=", "--socket=")
    return all(word.startswith(known) for word in text.split() if "=" in word)


def printable(text: str, limit: int = 400) -> str:
    """`text` on one line, without control characters, cut to `limit` characters.

    What a server, a repository or a URL says must not be able to steer the terminal it is
    shown on (CVE-2024-50349).
    """
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
