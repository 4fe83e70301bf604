"""One event, one line: whole, bounded, printable, and never with a token in it."""

import json
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from git_credential_relay.broker.audit.event import AuditEvent
from git_credential_relay.broker.audit.line import MAX_LINE, serialize
from git_credential_relay.secret import MASK, Secret, redact, token_sha256
from tests.unit.broker.audit.events import AT, event

VENDED = AuditEvent(
    at=AT,
    request_id="0123456789abcdef",
    verdict="vended",
    code=None,
    status=200,
    workspace="w1",
    caller="identity:repo:acme/app:ref:refs/heads/main",
    claims={"iss": "https://token.actions.githubusercontent.com", "repository_id": "74"},
    address="127.0.0.1",
    host="github.com",
    repository="acme/app",
    repositories=["acme/app"],
    use="git",
    permissions_asked={"contents": "write"},
    permissions_given={"contents": "write", "metadata": "read"},
    source="github:github.com",
    cache="miss",
    token_sha256=token_sha256(Secret("ghs_x")),
    expires_at=1_800_003_600,
    ms=12.5,
)
DENIED = event(verdict="denied", code="REPOSITORY_NOT_GRANTED", status=403, workspace="w1")


@pytest.mark.parametrize(
    ("recorded", "line"),
    [
        (
            VENDED,
            '{"at":1800000000.25,"request_id":"0123456789abcdef","kind":"vend",'
            '"verdict":"vended","code":null,"status":200,"workspace":"w1","caller":"identity:repo:acme/app:ref:refs/heads/main",'
            '"claims":{"iss":"https://token.actions.githubusercontent.com","repository_id":"74"},'
            '"address":"127.0.0.1","host":"github.com","repository":"acme/app",'
            '"repositories":["acme/app"],"use":"git","permissions_asked":{"contents":"write"},'
            '"permissions_given":{"contents":"write","metadata":"read"},'
            '"source":"github:github.com","cache":"miss",'
            '"token_sha256":"nzHpBE+5Vsj//e27CI6v856CyTK2ZWvnFevqV7MueB8=",'
            '"expires_at":1800003600,"ms":12.5}\n',
        ),
        (
            DENIED,
            '{"at":1800000000.25,"request_id":"r1","kind":"vend","verdict":"denied",'
            '"code":"REPOSITORY_NOT_GRANTED","status":403,"workspace":"w1"}\n',
        ),
        (
            event(),
            '{"at":1800000000.25,"request_id":"r1","kind":"vend","verdict":"failed",'
            '"code":"INTERNAL"}\n',
        ),
    ],
    ids=["vended", "denied", "crashed"],
)
def test_events_as_they_are_written(recorded, line):
    """The form that scripts read; fields nobody filled in are left out."""
    assert serialize(recorded).decode() == line


CANARIES = [
    "ghs_" + "A" * 40,
    "github_pat_11AAAAAAA_bbbbbbbbbbbbbbbbbbbbbbb",
    "glpat-xxxxxxxxxxxxxxxxxxxx",
    "glrtr-xxxxxxxxxxxxxxxxxxxx",
    "gloas-" + "a" * 64,
    "glnew-" + "x" * 24,
    "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl",
    "https://user:hunter2@github.com/acme/app",
    "https://x-access-token:s3cr3t@h.example",
    "Authorization: Bearer s3cr3t-value",
    "authorization: bAsIc czNjcjN0LXZhbHVl",
    "authorization: basic  \x00\n czNjcjN0LXZhbHVl",
]
FIELDS = ("reason", "unverified_workspace", "host", "repository", "caller", "source", "code")


@pytest.mark.parametrize("canary", CANARIES)
@pytest.mark.parametrize("field", [*FIELDS, "claims", "repositories", "permissions_asked"])
def test_no_token_is_written(canary, field):
    """Whatever field a token strays into, it is masked there."""
    value: Any = {
        "claims": {"sub": canary},
        "permissions_asked": {canary: canary},
        "repositories": [canary],
    }.get(field, canary)
    written = serialize(event(**{field: value}))

    assert MASK.encode() in written
    for part in ("AAAA", "hunter2", "s3cr3t", "czNj", "c2ln", "xxxx", "aaaa"):
        assert part.encode() not in written


@given(st.text(string.ascii_letters + string.digits + "_-.:/@ %=+?&", max_size=60))
def test_what_redact_would_change_is_seen(text):
    """The quick look misses nothing that the patterns of redact find, however it is spaced."""
    written = json.loads(serialize(event(reason=text)))["reason"]

    assert " ".join(written.split()) == redact(" ".join(text.split()))


@given(
    st.sampled_from(
        ["gh", "gl", "glpat", "github_pat_", "eyJ", "Bearer ", "BASIC ", "://", "ssh://"]
    ),
    st.text(string.ascii_letters + string.digits + "_-.:/@", max_size=40),
)
def test_what_redact_would_change_is_seen_near_marks(mark, text):
    """Nor does it miss a token that only just is one."""
    written = json.loads(serialize(event(reason=mark + text)))

    assert redact(written["reason"]) == written["reason"]


def test_a_secret_in_an_event_is_masked():
    """A mistake of ours is no leak, and no event without a line either."""
    written = serialize(event(reason=Secret("hunter2"), claims={"x": Secret("hunter2")}))

    assert json.loads(written)["reason"] == MASK
    assert b"hunter2" not in written


@pytest.mark.parametrize(
    "text", ["a\nb", "a\x1b[31mb", "a\x00b", "a\u202eb", "a\x7fb", "a\x85b", "a\ud800b"]
)
def test_nothing_unprintable_is_written(text):
    """A line is one line, and does nothing to the terminal that shows it."""
    written = serialize(event(reason=text, unverified_workspace=text)).decode()

    assert written[:-1].isprintable()
    assert json.loads(written)["reason"] == json.loads(written)["unverified_workspace"]


texts = st.text(st.characters(exclude_categories=[]), max_size=300)


@given(texts, st.dictionaries(texts, texts), st.lists(texts), st.integers() | st.floats())
def test_every_event_has_one_line(text, mapping, entries, number):
    """Whatever is in an event, its line is whole JSON on one line."""
    written = serialize(event(reason=text, claims=mapping, repositories=entries, expires_at=number))

    assert written.endswith(b"}\n")
    assert written.count(b"\n") == 1
    assert json.loads(written)["request_id"] == "r1"


@pytest.mark.parametrize(
    "fields",
    [
        {"reason": "x" * 1_000_000},
        {"reason": "🤖" * 100_000, "host": '"\\' * 50_000},
        {"repositories": [f"acme/{number}-{'r' * 100}" for number in range(5000)]},
        {"claims": {f"claim-{number}": "c" * 1000 for number in range(1000)}},
        {name: "é" * 100_000 for name in AuditEvent.__struct_fields__ if name not in ("at", "ms")},
        {name: {str(n): "é" * 999 for n in range(999)} for name in ("claims", "permissions_asked")},
    ],
    ids=["text", "wide", "list", "mapping", "everything", "mappings"],
)
def test_a_huge_event_is_cut_and_not_dropped(fields):
    """Of an event that is too long each field keeps its beginning."""
    written = serialize(event(**{"request_id": "kept"} | fields))

    assert len(written) <= MAX_LINE
    assert set(json.loads(written)) >= {"at", "request_id", *fields}


def test_what_is_cut_from_a_list_is_counted():
    """The reader sees that there was more."""
    written = serialize(
        event(repositories=["x" * 100] * 1000, claims={str(n): "y" * 99 for n in range(600)})
    )
    found = json.loads(written)

    assert found["repositories"][-1] == "… 900"
    assert found["claims"]["…"] == 500


def test_five_hundred_repositories_are_all_recorded():
    """The most that one token can be for fits."""
    names = [f"acme/{'r' * 60}-{number}" for number in range(500)]

    assert json.loads(serialize(event(repositories=names)))["repositories"] == names
