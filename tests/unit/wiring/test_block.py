"""The marked block: what is put in comes out again, whatever surrounds it."""

from hypothesis import given
from hypothesis import strategies as st

from git_credential_relay.wiring.block import BEGIN, END, append, make_block, split

# Other people's text, of lines that may look like ours.
TEXTS = st.lists(
    st.one_of(
        st.text(st.characters(exclude_characters="\r"), max_size=20),
        st.sampled_from(["[credential]", "# begin git-credential-relay!", "  " + BEGIN.strip()]),
    ),
    max_size=6,
).map("\n".join)


@given(TEXTS)
def test_block_comes_out_as_it_went_in(text):
    """Splitting what was appended gives the text and the block; a missing newline is added."""
    block = make_block("a = b\n")
    theirs, ours = split(append(text, block))

    assert ours == block
    assert theirs == text + ("" if not text or text.endswith("\n") else "\n")


@given(TEXTS, TEXTS)
def test_what_stands_after_the_block_stays(before, after):
    """Text that somebody appended later is not taken for the block's."""
    block = make_block("a = b\n")
    theirs, ours = split(append(before, block) + after)

    assert ours == block
    assert theirs.endswith(after)


@given(TEXTS)
def test_text_without_a_block_is_left_alone(text):
    """No marks, no block."""
    assert split(text) == (text, "")


def test_half_a_block_is_none():
    """A mark without its other half is somebody else's comment."""
    assert split(BEGIN + "a = b\n") == (BEGIN + "a = b\n", "")
    assert split("a = b\n" + END) == ("a = b\n" + END, "")
