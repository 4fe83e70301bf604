"""The audit file: whole lines whatever happens, in files of bounded size, or an error."""

import errno
import fcntl
import os
import stat

import pytest

from git_credential_relay.broker.audit.file import AuditLog
from git_credential_relay.broker.audit.line import serialize
from git_credential_relay.broker.errors import AuditError
from git_credential_relay.errors import ConfigError
from tests.unit.broker.audit.events import event, read_ids, room_for


@pytest.fixture
def path(tmp_path):
    return tmp_path / "audit.ndjson"


@pytest.fixture
def open_log(path):
    """Opens logs at the path, and closes them in the end."""
    logs = []

    def open_one(max_bytes=1_000_000, keep=3, **options):
        logs.append(AuditLog(path, max_bytes=max_bytes, keep=keep, **options))
        return logs[-1]

    yield open_one
    for log in logs:
        log.close()


class KeptSink:
    def __init__(self):
        self.lines = []
        self.is_closed = False

    def put(self, line):
        self.lines.append(line)

    def close(self):
        self.is_closed = True


def test_an_event_is_in_the_file_when_write_returns(path, open_log):
    """Each event is one line, and nobody but the owner may read it."""
    log = open_log()
    log.write(event("a"))
    assert path.read_bytes() == serialize(event("a"))
    log.write(event("b"))

    assert read_ids(path) == ["a", "b"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_is_there_stays(path, open_log):
    """A restart appends."""
    open_log().write(event("a"))
    open_log().write(event("b"))

    assert read_ids(path) == ["a", "b"]


def test_a_torn_line_is_closed_at_the_start(path, open_log):
    """What a killed process left of its last line spoils no other."""
    path.write_bytes(serialize(event("a")) + b'{"at":18000')
    log = open_log()
    assert path.read_bytes().endswith(b'{"at":18000\n')
    log.write(event("b"))

    assert path.read_bytes() == serialize(event("a")) + b'{"at":18000\n' + serialize(event("b"))


def test_a_line_that_another_process_tore_is_closed_too(path, open_log):
    """A second writer's death is noticed without a restart of ours."""
    log = open_log()
    log.write(event("a"))
    with path.open("ab") as other:
        other.write(b'{"at":18')
    log.write(event("b"))

    assert path.read_bytes().endswith(b'\n{"at":18\n' + serialize(event("b")))


@pytest.mark.parametrize("room", [0, 1, 20])
def test_a_full_disk_is_an_error_and_passes(path, open_log, room):
    """Without room for the whole line nothing may be vended; with room again all is well."""
    sink = KeptSink()
    log = open_log(sinks=[sink])
    log.write(event("a"))
    with room_for(path, room):
        for _ in range(3):
            with pytest.raises(AuditError) as caught:
                log.write(event("lost"))
        assert log.trouble is not None
        with pytest.raises(AuditError):
            open_log().write(event("lost"))
    log.write(event("b"))

    assert (caught.value.status, caught.value.code) == (503, "AUDIT_UNAVAILABLE")
    lines = path.read_bytes().splitlines(keepends=True)
    assert [line for line in lines if line.endswith(b"}\n")] == [
        serialize(event("a")),
        serialize(event("b")),
    ]
    assert log.trouble is None
    assert sink.lines == [serialize(event("a")), serialize(event("b"))]


def test_the_log_rotates_by_size(path, open_log):
    """No file is longer than it may be, the youngest has the plain name, and the oldest goes."""
    size = len(serialize(event("00")))
    log = open_log(max_bytes=3 * size, keep=2)
    for number in range(11):
        log.write(event(f"{number:02}"))

    assert read_ids(path) == ["09", "10"]
    assert read_ids(path.with_name("audit.ndjson.1")) == ["06", "07", "08"]
    assert read_ids(path.with_name("audit.ndjson.2")) == ["03", "04", "05"]
    assert sorted(os.listdir(path.parent)) == [
        "audit.ndjson",
        "audit.ndjson.1",
        "audit.ndjson.2",
        "home",
        "run",
    ]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_line_longer_than_a_file_is_written(path, open_log):
    """A limit that is too small loses nothing."""
    log = open_log(max_bytes=1)
    log.write(event("a"))
    log.write(event("b"))

    assert read_ids(path) == ["b"]
    assert read_ids(path.with_name("audit.ndjson.1")) == ["a"]


def test_two_logs_at_one_file_share_it(path, open_log):
    """One that is rotated by the other goes on in the new file."""
    size = len(serialize(event("00")))
    logs = [open_log(max_bytes=2 * size), open_log(max_bytes=2 * size)]
    for number in range(8):
        logs[number % 2].write(event(f"{number:02}"))

    found = [read_ids(path.with_name(name)) for name in sorted(os.listdir(path.parent))[:4]]
    assert found == [["06", "07"], ["04", "05"], ["02", "03"], ["00", "01"]]


@pytest.mark.parametrize("take_away", [os.unlink, lambda path: path.rename(f"{path}.moved")])
def test_a_file_that_is_gone_is_made_again(path, open_log, take_away):
    """Whoever moves the file away gets no further lines in it."""
    log = open_log()
    log.write(event("a"))
    take_away(path)
    log.write(event("b"))

    assert read_ids(path) == ["b"]


def test_a_file_that_cannot_be_rotated_goes_on(path, open_log):
    """An immovable file grows and is said to; its older ones are not pushed over the edge."""
    log = open_log(max_bytes=100, keep=3)
    log.write(event("a"))
    obstacle = path.with_name("audit.ndjson.1")
    obstacle.mkdir()
    (obstacle / "x").touch()
    path.with_name("audit.ndjson.2").write_text("old\n")
    path.with_name("audit.ndjson.3").mkdir()
    (path.with_name("audit.ndjson.3") / "x").touch()
    for name in "bcdef":
        log.write(event(name))

    assert read_ids(path) == list("abcdef")
    assert path.with_name("audit.ndjson.2").read_text() == "old\n"
    assert "cannot be rotated" in str(log.trouble)


def test_of_a_symbolic_link_the_target_is_rotated(path, tmp_path):
    """The link goes on to name the youngest file."""
    (tmp_path / "logs").mkdir()
    path.symlink_to(tmp_path / "logs" / "real")
    log = AuditLog(path, max_bytes=1, keep=3)
    log.write(event("a"))
    log.write(event("b"))
    log.close()

    assert path.is_symlink()
    assert read_ids(path) == ["b"]
    assert read_ids(tmp_path / "logs" / "real.1") == ["a"]


@pytest.mark.parametrize("kind", ["directory", "fifo", "missing directory"])
def test_what_cannot_be_a_log_stops_the_start(path, open_log, kind):
    """A mistake in audit_file is found before the first request."""
    match kind:
        case "directory":
            path.mkdir()
        case "fifo":
            os.mkfifo(path)
        case _:
            path = path / "missing" / "audit.ndjson"

    with pytest.raises(ConfigError, match="the audit log"):
        AuditLog(path, max_bytes=1, keep=1)


def test_a_lock_that_never_ends_is_an_error(path, open_log):
    """Another process that was stopped with the lock in hand does not hang us for good."""
    log = open_log(lock_seconds=0.05)
    with path.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(AuditError) as caught:
            log.write(event("a"))

    assert os.strerror(errno.EAGAIN) in str(caught.value.reason)
    log.write(event("b"))
    assert read_ids(path) == ["b"]


def test_sinks_get_each_line_and_are_closed(path):
    """A sink sees what is on record, and nothing else."""
    sink = KeptSink()
    log = AuditLog(path, max_bytes=1_000, keep=1, sinks=[sink])
    log.write(event("a"))
    log.close()

    assert sink.lines == [serialize(event("a"))]
    assert sink.is_closed
