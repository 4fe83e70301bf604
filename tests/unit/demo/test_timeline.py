"""The timeline's formatting and what it does with different streams."""

import io

import pytest

from git_credential_relay.demo.timeline import (
    Style,
    Timeline,
    format_chapter,
    format_event,
    format_left_out,
    format_step,
    format_summary,
    format_verdict,
    short_hash,
    style_for,
)

PLAIN = Style()
COLOURED = Style(is_coloured=True)


class Terminal(io.TextIOWrapper):
    """A stream that says it is a terminal."""

    def __init__(self, encoding: str = "utf-8") -> None:
        super().__init__(io.BytesIO(), encoding=encoding)

    def isatty(self) -> bool:
        """Say yes."""
        return True


def test_event_has_time_actor_and_text():
    """An event is one line with aligned columns; more lines are indented below it."""
    line = format_event(1.234, "agent", "git push\nfailed", PLAIN)

    assert line == "    1.23 s  agent    git push\n                    failed\n"


def test_long_text_is_wrapped_at_words():
    """A long text goes on in the next line, whole words and addresses kept."""
    lines = format_event(0, "relay", "word " * 20 + "http://" + "x" * 90, PLAIN).splitlines()

    assert [line.strip() for line in lines[1:]] == ["word word word word", "http://" + "x" * 90]


def test_promises_are_marked():
    """A kept and a broken promise are told apart by their sign."""
    assert format_verdict(True, "kept", PLAIN) == "   ✓ kept\n"
    assert format_verdict(False, "not\nbut", PLAIN) == "   ✗ not\n     but\n"


def test_signs_without_unicode():
    """A stream without the signs gets words."""
    style = Style(is_unicode=False)

    assert format_verdict(True, "a", style) + format_verdict(False, "b", style) == (
        "   ok a\n   BROKEN b\n"
    )


def test_colour_is_only_where_wanted():
    """Escape sequences appear in a coloured style and nowhere else."""

    def everything(style: Style) -> str:
        return (
            format_chapter("title", style)
            + format_step(1, "title", style)
            + format_event(0, "forge", "text", style)
            + format_verdict(True, "promise", style)
            + format_summary(1, 2, 3, 4, style)
        )

    assert "\x1b[" in everything(COLOURED)
    assert "\x1b" not in everything(PLAIN)


@pytest.mark.parametrize(
    ("out", "environment", "expected"),
    [
        (Terminal(), {}, Style(is_coloured=True)),
        (Terminal(), {"NO_COLOR": ""}, Style(is_coloured=True)),
        (Terminal(), {"NO_COLOR": "1"}, Style()),
        (Terminal("ascii"), {"NO_COLOR": "1"}, Style(is_unicode=False)),
        (io.StringIO(), {}, Style()),
    ],
    ids=["terminal", "empty NO_COLOR", "NO_COLOR", "ascii", "not a terminal"],
)
def test_style_follows_the_stream(out, environment, expected):
    """Colour needs a terminal and no NO_COLOR; the signs need an encoding that has them."""
    assert style_for(out, environment) == expected


def test_hash_is_shortened():
    """Of a token's hash eight characters are shown."""
    assert (short_hash("abcdefghijk="), short_hash(None)) == ("#abcdefgh", "no token")


@pytest.mark.parametrize(
    ("kept", "expected"),
    [
        (8, "\n✓ 8 of 8 promises kept in 9.0 s, with 3 short-lived tokens and none left behind\n"),
        (6, "\n✗ 2 of 8 promises broken\n"),
    ],
)
def test_summary_tells_the_result(kept, expected):
    """The last line tells whether all promises were kept."""
    assert format_summary(kept, 8, 9.0, 3, PLAIN) == expected


def test_summary_tells_what_was_left_out():
    """Steps that could not be shown are told, and count neither way."""
    line = format_summary(8, 8, 9.0, 3, PLAIN, 2)

    assert line.endswith("none left behind; 2 could not be shown here\n")


def test_headings_and_gaps_are_plain_lines():
    """A chapter has a heading of its own; a step that was left out has its reason."""
    assert format_chapter("Sidecar", PLAIN) == "\n== Sidecar ==\n"
    assert format_left_out("no gh") == "   - left out: no gh\n"


def test_timeline_writes_times_since_its_beginning():
    """Events carry the time since the timeline was made."""
    now = [100.0]
    out = io.StringIO()
    timeline = Timeline(out, PLAIN, lambda: now[0])
    timeline.step(1, "First")
    now[0] = 102.5
    timeline.event("broker", "is gone")
    timeline.verdict(True, "kept")
    timeline.summary(1, 1, 1)

    assert out.getvalue() == (
        "\n1  First\n    2.50 s  broker   is gone\n   ✓ kept\n"
        "\n✓ 1 of 1 promises kept in 2.5 s, with 1 short-lived tokens and none left behind\n"
    )
