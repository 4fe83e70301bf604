"""Git's attribute format: `key=value` lines of bytes, ended by an empty line.

Source: gitcredentials(7), git-credential(1). Lines end in LF alone. CR, NUL and other control
bytes are refused in both directions: they are how one value becomes two (CVE-2020-5260,
CVE-2024-52006) and how a prompt is forged (CVE-2024-50349).
"""

from __future__ import annotations

from git_credential_relay.errors import ProtocolError

Attributes = list[tuple[str, str]]

MAX_LINE = 65535  # bytes, with the LF: git-credential(1)

# TAB stays: a server may send one in the WWW-Authenticate header git passes on as wwwauth[].
_CONTROL = bytes(b for b in (*range(0x20), 0x7F) if b not in (0x09, 0x0A))


def parse(data: bytes) -> Attributes:
    """The attributes up to the first empty line or the end, in order, repeated ones too.

    Raises ProtocolError for a control byte, an over-long line, a line without `=` or without
    a key. Bytes that are not UTF-8 survive as surrogate escapes.
    """
    attributes: Attributes = []
    for line in data.split(b"\n"):
        if not line:
            break
        if len(line) >= MAX_LINE:
            raise ProtocolError("a line is longer than git allows")
        if len(line.translate(None, _CONTROL)) != len(line):
            raise ProtocolError("a line holds a control character")
        key, equals, value = line.partition(b"=")
        if not key or not equals:
            raise ProtocolError("a line is not key=value")
        attributes.append((_decode(key), _decode(value)))
    return attributes


def serialize(attributes: Attributes) -> bytes:
    """The bytes of `attributes`, ended by the empty line that tells git to stop reading.

    Raises ProtocolError for what `parse` would refuse: a value that would become two lines
    must never leave.
    """
    lines = []
    for key, value in attributes:
        try:
            line = f"{key}={value}".encode("utf-8", "surrogateescape")
        except UnicodeEncodeError as error:
            raise ProtocolError("an attribute cannot be written as UTF-8") from error
        if not key or "=" in key or b"\n" in line:
            raise ProtocolError("an attribute cannot be written as one line")
        if len(line) >= MAX_LINE or len(line.translate(None, _CONTROL)) != len(line):
            raise ProtocolError("an attribute is too long or holds a control character")
        lines.append(line)
    return b"".join(line + b"\n" for line in lines) + b"\n"


def last(attributes: Attributes, key: str) -> str | None:
    """The value of a single-valued attribute: git lets the last one win."""
    for name, value in reversed(attributes):
        if name == key:
            return value
    return None


def collect(attributes: Attributes, key: str) -> list[str]:
    """The values of a multi-valued attribute (`key[]`); an empty value resets the list."""
    values: list[str] = []
    for name, value in attributes:
        if name == key:
            if value:
                values.append(value)
            else:
                values.clear()
    return values


def _decode(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
