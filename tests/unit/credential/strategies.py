"""What Hypothesis draws the requests and attributes from."""

from hypothesis import strategies as st


def _decodable(without: bytes) -> st.SearchStrategy[str]:
    # Left out before decoding: afterwards two escaped bytes could come to form one letter.
    return st.binary(max_size=40).map(
        lambda raw: raw.translate(None, without).decode("utf-8", "surrogateescape")
    )


# What parse() can give: any bytes but LF and the control bytes; TAB is permitted.
_CONTROL = bytes(b for b in (*range(0x20), 0x7F) if b != 0x09)
values = _decodable(_CONTROL)
keys = _decodable(_CONTROL + b"=").filter(bool)
attributes = st.lists(st.tuples(keys, values), max_size=8)

_FRAGMENTS = st.one_of(
    st.sampled_from(
        ["", ".", "..", "/", "//", ":", ":443", ":80", ":8443", "@", "?", "#", "[", "]"]
    ),
    st.sampled_from(["%2e", "%2f", "%00", "\\", "\0", "\t", "\n", " ", "é", "\u212a"]),
    st.sampled_from(["evil.example", ".evil.example", "evil"]),
)


@st.composite
def mutations(draw: st.DrawFn, originals: list[str]) -> str:
    """One of `originals`, with pieces put in, taken out or written in another case."""
    text = draw(st.sampled_from(originals))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(text)))
        match draw(st.sampled_from(("insert", "cut", "case", "append"))):
            case "insert":
                text = text[:at] + draw(_FRAGMENTS) + text[at:]
            case "cut":
                text = text[:at] + text[at + draw(st.integers(1, 4)) :]
            case "case":
                text = text[:at] + text[at:].swapcase()
            case "append":
                text += draw(_FRAGMENTS)
    return text
