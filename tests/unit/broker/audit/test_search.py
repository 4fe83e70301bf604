"""Reading the log: who had a token, and what happens now, across rotations and torn lines."""

import base64
import hashlib
import itertools

import pytest

from git_credential_relay.broker.audit.file import AuditLog
from git_credential_relay.broker.audit.line import serialize
from git_credential_relay.broker.audit.search import normalise_sha256, tail, who_used
from git_credential_relay.errors import ConfigError
from git_credential_relay.secret import Secret, token_sha256
from tests.unit.broker.audit.events import event

DIGEST = hashlib.sha256(b"a-token-43").digest()
HASH = token_sha256(Secret("a-token-43"))
OTHER = token_sha256(Secret("another"))


@pytest.fixture
def log(tmp_path):
    """A log whose files hold two events each."""
    size = len(serialize(event("00", token_sha256=HASH)))
    log = AuditLog(tmp_path / "audit.ndjson", max_bytes=2 * size, keep=20)
    yield log
    log.close()


def ids(events):
    return [event["request_id"] for event in events]


SPELLINGS = [
    HASH,
    HASH.rstrip("="),
    DIGEST.hex(),
    DIGEST.hex().upper(),
    base64.urlsafe_b64encode(DIGEST).decode(),
    f"sha256:{DIGEST.hex()}\n",
]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_who_used_a_token(log, spelling):
    """Every event of the token is found, oldest first, however its hash is written."""
    for number in range(9):
        used = {0: {"token_sha256": HASH}, 1: {"rejected_sha256": HASH}}.get(number % 4)
        log.write(event(f"{number:02}", **used or {"token_sha256": OTHER}))

    assert ids(who_used(log.path, spelling)) == ["00", "01", "04", "05", "08"]


def test_the_spellings_differ():
    """The hash of the tests has the characters in which base64 and base64url differ."""
    assert len(set(SPELLINGS)) == len(SPELLINGS)


def test_a_hash_elsewhere_in_an_event_is_no_use(log):
    """Only the fields for hashes count."""
    log.write(event("a", reason=HASH))

    assert ids(who_used(log.path, HASH)) == []


@pytest.mark.parametrize(
    "text", ["", "x", "ab" * 31, "zz" * 32, "ghs_" + "A" * 36, HASH + "A", "é"]
)
def test_what_is_no_hash_is_refused(log, text):
    """Somebody who pastes the token itself is told, before anything is searched."""
    with pytest.raises(ConfigError, match="not the SHA-256 of a token"):
        who_used(log.path, text)


def test_torn_and_foreign_lines_are_passed_over(log):
    """The events around a damaged line are found."""
    log.write(event("a", token_sha256=HASH))
    with log.path.open("ab") as other:
        other.write(
            f'{{"at":1,"token_sha256":"{HASH}","requ\n"{HASH}"\n\xff{HASH}\n['.encode("latin-1")
        )
    log.write(event("b", token_sha256=HASH))

    assert ids(who_used(log.path, HASH)) == ["a", "b"]
    assert ids(tail(log.path, 5, follow=False)) == ["a", "b"]


@pytest.mark.parametrize(
    "read", [lambda path: who_used(path, HASH), lambda path: tail(path, 1, False)]
)
def test_a_log_that_is_not_there(tmp_path, read):
    """A wrong path is said to be one."""
    with pytest.raises(ConfigError, match="there is no audit log"):
        list(read(tmp_path / "missing"))


@pytest.mark.parametrize("lines", [0, 1, 3, 6, 9])
def test_the_last_events(log, lines):
    """As many as there are, from older files where the youngest has too few."""
    for number in range(7):
        log.write(event(f"{number:02}", token_sha256=HASH))

    everything = [f"{number:02}" for number in range(7)]
    assert ids(tail(log.path, lines, follow=False)) == everything[max(0, 7 - lines) :][
        : lines or None
    ] * bool(lines)


def test_a_file_that_is_rotated_while_it_is_read_counts_once(log):
    """A file that has two names for a moment gives its events once."""
    log.write(event("a", token_sha256=HASH))
    log.path.with_name("audit.ndjson.1").hardlink_to(log.path)

    assert ids(who_used(log.path, HASH)) == ["a"]


def test_following_survives_rotation(log):
    """Every event comes, once and in order, also where several files came between two looks."""
    batches = iter([1, 0, 5, 1, 2, 0, 9])
    numbers = itertools.count(1)

    def wait():
        for _ in range(next(batches)):
            log.write(event(f"{next(numbers):02}", token_sha256=HASH))

    log.write(event("00", token_sha256=HASH))
    followed = tail(log.path, 10, follow=True, wait=wait)

    assert ids(itertools.islice(followed, 19)) == [f"{number:02}" for number in range(19)]
    followed.close()


def test_a_line_that_is_still_being_written_is_waited_for(log):
    """Half a line is no event, and none is lost when the rest comes."""
    log.write(event("a"))
    line = serialize(event("b"))
    parts = iter([line[:10], line[10:]])

    def wait():
        with log.path.open("ab") as other:
            other.write(next(parts))

    followed = tail(log.path, 10, follow=True, wait=wait)

    assert ids(itertools.islice(followed, 2)) == ["a", "b"]
    followed.close()


def test_each_spelling_has_one_form():
    """The form is that of the log and of GitHub's hashed_token."""
    assert {normalise_sha256(spelling) for spelling in SPELLINGS} == {HASH}
