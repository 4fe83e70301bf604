"""The report: what is wrong first, nothing secret, nothing that steers a terminal."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from git_credential_relay.doctor.report import (
    Check,
    as_json,
    as_text,
    fail,
    is_healthy,
    ok,
    skip,
    warn,
)
from git_credential_relay.secret import Secret

CANARY = "c4n4ry-c4n4ry"
CHECKS = [
    ok("a", "fine"),
    skip("b", "offline", "not asked for"),
    warn("c", "odd", "odd thing", "mend it"),
    fail("d", "broken", "broken thing"),
]


def test_what_is_wrong_comes_first_with_its_command():
    """Failures, warnings, the rest; a command stands under its finding."""
    assert as_text(CHECKS).splitlines() == [
        "fail  d: broken thing [broken]",
        "warn  c: odd thing [odd]",
        "      fix: mend it",
        "ok    a: fine",
        "skip  b: not asked for [offline]",
        "1 fail, 1 warn, 1 ok, 1 skip",
    ]


def test_json_has_the_promised_form():
    """Scripts rely on these names."""
    assert json.loads(as_json(CHECKS)) == {
        "ok": False,
        "checks": [
            {"name": "a", "status": "ok", "code": "ok", "message": "fine", "fix": None},
            {
                "name": "b",
                "status": "skip",
                "code": "offline",
                "message": "not asked for",
                "fix": None,
            },
            {
                "name": "c",
                "status": "warn",
                "code": "odd",
                "message": "odd thing",
                "fix": "mend it",
            },
            {
                "name": "d",
                "status": "fail",
                "code": "broken",
                "message": "broken thing",
                "fix": None,
            },
        ],
    }


def test_warnings_are_allowed():
    """Only a failure makes it unhealthy."""
    assert is_healthy(CHECKS[:3])
    assert not is_healthy(CHECKS)
    assert json.loads(as_json(CHECKS[:3]))["ok"] is True


def test_a_command_that_cannot_be_shown_is_left_out():
    """Half a command would not mend anything."""
    for fix in (f"use {CANARY}", "git config x 'ghp_abcdef'", "a\x1b[2Jb", "a\nb"):
        assert fail("a", "b", "c", fix).safe([Secret(CANARY)]).fix is None


def test_addresses_of_ssh_stay_readable():
    """ssh's own user is no secret."""
    check = fail("a", "b", "to ssh://git@host/x", "git config a ssh://git@host/x").safe([])
    assert (check.message, check.fix) == ("to ssh://git@host/x", "git config a ssh://git@host/x")


@given(st.text(), st.text(), st.text())
def test_whatever_is_found_a_report_is_clean(before, after, name):
    """No control character and no secret, wherever they stood."""
    text = f"{before}{CANARY}{after} https://x:{CANARY}@h/ ghp_{CANARY}"
    check = Check(name, "fail", "code", text, text).safe([Secret(CANARY)])
    printed = as_text([check]).split("[code]")[0]

    assert CANARY not in check.message
    assert check.fix is None
    assert check.message.isprintable()
    assert CANARY not in printed
