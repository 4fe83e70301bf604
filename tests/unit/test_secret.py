"""Secrets stay masked, and text that leaves is redacted and printable."""

import copy
import json
import pickle
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from git_credential_relay.secret import (
    MASK,
    Secret,
    is_plain_command,
    printable,
    redact,
    token_sha256,
)

CANARY = "ghs_canary0123456789"
# GitHub's newer installation tokens: some 520 characters, dots among them.
LONG = "ghs_" + "12345_eyJhbGciOiJFUzI1NiJ9." + "aB3-_" * 60 + "." + "xyZ9" * 47


@pytest.mark.parametrize(
    "show",
    [
        pytest.param(str, id="str"),
        pytest.param(repr, id="repr"),
        pytest.param(lambda secret: f"{secret}", id="f-string"),
        pytest.param(lambda secret: f"{secret!r:>40}", id="f-string with !r"),
        pytest.param(lambda secret: f"{secret:>40}", id="format with a width"),
        pytest.param(lambda secret: "%s %r" % (secret, secret), id="percent"),  # noqa: UP031
        pytest.param(lambda secret: str([secret, {secret: secret}]), id="in containers"),
        pytest.param(lambda secret: f"{ValueError(secret)}", id="in an exception"),
    ],
)
def test_secret_shows_a_mask(show):
    """However a secret is turned into text, the text has the mask and not the value."""
    text = show(Secret(CANARY))

    assert MASK in text
    assert CANARY not in text


@pytest.mark.parametrize(
    "dump",
    [
        pytest.param(pickle.dumps, id="pickle"),
        pytest.param(copy.copy, id="copy"),
        pytest.param(copy.deepcopy, id="deepcopy"),
        pytest.param(json.dumps, id="JSON"),
        pytest.param(vars, id="vars"),
    ],
)
def test_secret_cannot_be_serialised(dump):
    """What would write or copy the value fails, and the failure does not show it."""
    with pytest.raises(TypeError) as caught:
        dump(Secret(CANARY))

    assert CANARY not in "".join(traceback.format_exception(caught.value))


def test_secret_reveals_only_when_asked():
    """Secrets compare and hash by value, are true when not empty, and reveal that value."""
    secret = Secret(CANARY)

    assert secret.reveal() == CANARY
    assert secret == Secret(CANARY)
    assert secret != Secret("other")
    assert secret != CANARY
    assert {secret, Secret(CANARY)} == {secret}
    assert (bool(secret), bool(Secret(""))) == (True, False)


def test_token_appears_as_githubs_hashed_token():
    """The hash of a token is the base64 of its SHA-256 digest."""
    assert token_sha256(Secret("abc")) == "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(f"token {CANARY}.", f"token {MASK}", id="installation token"),
        pytest.param(f"a {LONG} b", f"a {MASK} b", id="520 characters with dots"),
        pytest.param("ghp_a ghu_b gho_c ghr_d", " ".join([MASK] * 4), id="other kinds"),
        pytest.param("github_pat_11AB_cd", MASK, id="fine-grained"),
        pytest.param("x=glpat-a.b-c_d;", f"x={MASK};", id="GitLab"),
        pytest.param("gldt-a glcbt-b glrt-c", " ".join([MASK] * 3), id="GitLab's other kinds"),
        pytest.param("glnew-" + "x" * 20, MASK, id="a kind GitLab has yet to invent"),
        pytest.param("TOKEN_ghs_x", f"TOKEN_{MASK}", id="after an underscore"),
        pytest.param(
            "https%3A%2F%2Fx%3Aghs_a%40github.com",
            f"https%3A%2F%2Fx%3A{MASK}%40github.com",
            id="inside an escaped URL",
        ),
        pytest.param("jwt eyJhbGci.eyJzdWIi.sig-_x!", f"jwt {MASK}!", id="JWT"),
        pytest.param("Bearer opaque+/=", f"Bearer {MASK}", id="bearer"),
        pytest.param("AUTHORIZATION: BASIC eDp5", f"AUTHORIZATION: BASIC {MASK}", id="basic"),
        pytest.param("https://x:opaque@github.com/o/r", f"https://{MASK}@github.com/o/r", id="URL"),
        pytest.param(
            "http://proxy-user:p%40ss@proxy:3128", f"http://{MASK}@proxy:3128", id="proxy"
        ),
        pytest.param("http://u:pa/ss@proxy:3128", f"http://{MASK}@proxy:3128", id="slash in it"),
        pytest.param(
            "see https://github.com/o/r.git", "see https://github.com/o/r.git", id="plain URL"
        ),
        pytest.param("acme/global-site, glab-cli", "acme/global-site, glab-cli", id="names"),
        pytest.param("highs_and_lows", "highs_and_lows", id="inside a word"),
        pytest.param("error 404 for ws-1", "error 404 for ws-1", id="nothing to hide"),
    ],
)
def test_redact_masks_what_looks_like_a_token(text, expected):
    """Tokens of every known form and length are masked whole, and the rest stays readable."""
    assert redact(text) == expected


def test_long_token_is_a_long_one():
    """The sample stands for GitHub's long tokens."""
    assert len(LONG) >= 520
    assert LONG.count(".") == 2


@given(
    st.sampled_from(["ghs_", "ghp_", "github_pat_", "glpat-"]),
    st.text(alphabet="abcXYZ019_.-", min_size=1, max_size=600),
    st.sampled_from(["", " ", "'", '"', "=", ":", "(", "\n", "/", "_", "%3A", "%2f"]),
)
def test_no_tail_of_a_token_survives(prefix, body, before):
    """Of a token of any length nothing is left, whatever stands in front of it."""
    assert redact(f"{before}{prefix}{body} end") == f"{before}{MASK} end"


def test_redact_masks_given_secrets_of_any_form():
    """Secrets that are known are masked wherever they occur; an empty one masks nothing."""
    text = redact("a hunter2 b=hunter2c", Secret("hunter2"), Secret(""))

    assert text == f"a {MASK} b={MASK}c"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("plain words", "plain words", id="plain"),
        pytest.param(" a\n\tb\r\nc ", "a b c", id="lines become one"),
        pytest.param("\x1b[31mred\x1b[0m", "[31mred [0m", id="escape sequences"),
        pytest.param("a\x00b\x07c\x9bd\x7fe", "a b c d e", id="control characters"),
        pytest.param("a\u202eb\u200bc\u2028d", "a b c d", id="direction and invisible"),
        pytest.param("ümlaut 日本", "ümlaut 日本", id="letters of the world"),
        pytest.param("a\udcffb\ud800", "a b", id="not UTF-8"),
        pytest.param("", "", id="empty"),
    ],
)
def test_printable_cannot_steer_a_terminal(text, expected):
    """Text becomes one line without anything a terminal would obey."""
    assert printable(text) == expected


@given(st.text(max_size=60), st.integers(1, 50))
def test_printable_is_one_line_within_the_limit(text, limit):
    """Whatever the text, the result is printable, can be encoded and is no longer than asked."""
    line = printable(text, limit)

    assert len(line) <= limit
    assert line.isprintable()
    assert line.encode().decode() == line


def test_printable_says_that_it_cut():
    """A text that was cut ends in an ellipsis; one that fits does not."""
    assert (printable("x" * 9, 8), printable("x" * 8, 8)) == ("x" * 7 + "…", "x" * 8)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ssh://git@host/o/r", "ssh://git@host/o/r"),
        (f"ssh://git:{CANARY}@host/o/r", f"ssh://{MASK}@host/o/r"),
        ("ssh://git:hunter2@host/o/r", f"ssh://{MASK}@host/o/r"),
        ("https://hunter2@host/o/r", f"https://{MASK}@host/o/r"),
    ],
)
def test_the_user_of_an_ssh_address_is_no_secret(text, expected):
    """Unless a password follows; over https a user alone may be a token."""
    assert redact(text) == expected


@pytest.mark.parametrize(
    ("command", "may_be_shown"),
    [
        ("store", True),
        ("cache --timeout=300", True),
        ('!"/usr/bin/gh" auth git-credential', True),
        ("/opt/helper --key=abc", False),
        ("!echo hunter2", False),
        ("!f() { cat x; }; f", False),
        ("!cat ~/.my-token", False),
        ("helper --password x", False),
    ],
)
def test_what_may_hold_a_secret_is_not_plain(command, may_be_shown):
    """People write passwords into helpers of one line."""
    assert is_plain_command(command) == may_be_shown
