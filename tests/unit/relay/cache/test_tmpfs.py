"""The cache in files: what it trusts, what it refuses, and what a killed process leaves."""

import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from git_credential_relay.errors import CacheError
from git_credential_relay.relay.acquire import Acquirer
from git_credential_relay.relay.cache.entry import Entry, Key, dump
from git_credential_relay.relay.cache.tmpfs import MAX_ENTRY, TmpfsCache
from git_credential_relay.relay.deadline import Clock, Deadline
from git_credential_relay.trace import Trace
from tests.contract.credential_cache import KEY, OTHER_KEYS, TOKEN, facts, within
from tests.fakes.configs import REPOSITORY, api_config

NOTHING = facts(Entry())
KEPT = facts(Entry(TOKEN))

needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can give a file to another user or mount"
)


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def cache(directory) -> TmpfsCache:
    return TmpfsCache([str(directory)], is_explicit=True)


@pytest.fixture
def file(cache, directory):
    """The file of KEY's entry."""
    cache.write(KEY, Entry(TOKEN))
    [path] = directory.iterdir()
    return path


def modes(directory: Path) -> dict[str, str]:
    return {path.name: stat.filemode(path.lstat().st_mode) for path in directory.iterdir()}


def acquire(cache) -> str:
    """The token that a whole `get` through `cache` gives."""
    acquirer = Acquirer(api_config(), cache, lambda *_: TOKEN, Clock(), Trace())
    return acquirer.acquire(REPOSITORY).password.reveal()


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077], ids=oct)
def test_everything_is_for_the_owner_alone(cache, directory, umask):
    """The directory is 0700 and each file 0600, whatever the umask."""
    before = os.umask(umask)
    try:
        with cache.lock(KEY, within(1)):
            cache.write(KEY, Entry(TOKEN))
    finally:
        os.umask(before)

    assert stat.filemode(directory.stat().st_mode) == "drwx------"
    assert modes(directory) == {KEY.name(): "-rw-------", KEY.name() + ".lock": "-rw-------"}


def test_names_tell_no_secret(cache, directory):
    """A file name is one plain component without the token, for any key."""
    keys = [KEY, *OTHER_KEYS.values()]
    for key in keys:
        with cache.lock(key, within(1)):
            cache.write(key, Entry(TOKEN))

    names = [path.name for path in directory.iterdir()]
    assert len(names) == 2 * len(keys)
    assert all(len(name) <= 255 and TOKEN.password.reveal() not in name for name in names)


def make_wrong(what: str, path: Path) -> None:
    """Make a file or directory into something that is not ours alone."""
    match what:
        case "another owner":
            os.chown(path, 12345, 12345)
        case "readable by the group":
            path.chmod(path.stat().st_mode | 0o040)
        case "writable by all":
            path.chmod(path.stat().st_mode | 0o002)
        case "a link":
            moved = path.rename(path.with_name("moved"))
            path.symlink_to(moved)
        case "a FIFO":
            path.unlink()
            os.mkfifo(path, 0o600)
        case "a directory":
            path.unlink()
            path.mkdir(mode=0o700)
        case "a file":
            path.rename(path.with_name("moved"))
            path.touch(mode=0o600)
        case "a dangling link":
            path.rename(path.with_name("moved"))
            path.symlink_to(path.with_name("nowhere"))


OPEN = [
    pytest.param("another owner", marks=needs_root),
    "readable by the group",
    "writable by all",
    "a link",
    "a dangling link",
]


@pytest.mark.parametrize("what", [*OPEN, "a FIFO", "a directory"])
def test_a_file_that_is_not_ours_alone_is_not_read(cache, file, what):
    """Nothing is taken from it, nothing waits for it, and a `get` works."""
    make_wrong(what, file)

    assert (facts(cache.read(KEY)), cache.list_keys()) == (NOTHING, [])
    assert acquire(cache) == TOKEN.password.reveal()


@pytest.mark.parametrize("what", [*OPEN, "a file"])
def test_a_directory_that_is_not_ours_alone_is_not_used(cache, directory, file, what):
    """Nothing is read from it, nothing written to it or where it leads, and a `get` works."""
    make_wrong(what, directory)
    with pytest.raises(CacheError):
        cache.write(KEY, Entry())
    with cache.lock(KEY, within(1)) as held:
        is_held = held

    assert (facts(cache.read(KEY)), cache.list_keys(), is_held) == (NOTHING, [], False)
    assert acquire(cache) == TOKEN.password.reveal()
    assert not (directory.parent / "nowhere").exists()


@pytest.mark.parametrize("what", [*OPEN, "a directory"])
@pytest.mark.parametrize("suffix", [".new", ".lock"])
def test_a_planted_neighbour_is_not_written_to(cache, file, suffix, what):
    """A temporary file or lock that is not ours alone is left as it is, and a `get` works."""
    neighbour = file.with_name(file.name + suffix)
    neighbour.touch(mode=0o600)
    make_wrong(what, neighbour)
    if suffix == ".new":
        with pytest.raises(CacheError):
            cache.write(KEY, Entry())
    else:
        with cache.lock(KEY, within(1)) as held:
            assert not held

    assert facts(cache.read(KEY)) == KEPT
    assert acquire(cache) == TOKEN.password.reveal()
    assert not neighbour.with_name("nowhere").exists()


def test_a_fifo_in_the_writers_place_holds_nobody_up(cache, file):
    """A FIFO that nobody reads is refused, instead of being waited for."""
    os.mkfifo(f"{file}.new", 0o600)
    with pytest.raises(CacheError):
        cache.write(KEY, Entry())

    assert facts(cache.read(KEY)) == KEPT


def damaged() -> dict[str, bytes]:
    whole = dump(KEY, Entry(TOKEN))
    lines = whole.split(b"\n")
    return {
        "empty": b"",
        "only the end": b"\n\n",
        "no end": whole[:-1],
        "cut in the token": whole[: whole.index(b"password=") + 12],
        "cut after the token": whole[: whole.index(b"\ntoken_sha256") + 1] + b"\n",
        "zeroes": bytes(len(whole)),
        "NUL within": whole.replace(b"ghs_", b"gh\0_"),
        "CR LF": whole.replace(b"\n", b"\r\n"),
        "not a line": whole.replace(b"username=", b"username "),
        "no number": whole.replace(b"fetched_at=", b"fetched_at=x"),
        "no expiry": whole.replace(b"password_expiry_utc=", b"password_expiry_utc=x"),
        "first line missing": b"\n".join(lines[1:]),
        "lines in another order": b"\n".join([lines[1], lines[0], *lines[2:]]),
        "another key's": dump(OTHER_KEYS["host"], Entry(TOKEN)),
        "another key's first": dump(OTHER_KEYS["host"], Entry()) + whole,
        "too long": b"x=" + b"y" * 60_000 + b"\n" + whole + b"z=" * MAX_ENTRY + b"\n\n",
        "half a failure": dump(KEY, Entry()).rstrip(b"\n") + b"\nfailure_code=x\n\n",
    }


@pytest.mark.parametrize("data", damaged().values(), ids=damaged())
def test_a_damaged_entry_answers_nothing(cache, file, data):
    """A file that is not exactly an entry of its key gives no token and no exception."""
    file.write_bytes(data)

    assert facts(cache.read(KEY)) == NOTHING
    assert acquire(cache) == TOKEN.password.reveal()
    assert facts(cache.read(KEY)) == KEPT


def test_an_entry_cut_anywhere_answers_nothing(cache, file):
    """However much of a file is left, it answers all or nothing."""
    whole = file.read_bytes()
    found = set()
    for size in range(len(whole)):
        file.write_bytes(whole[:size])
        found.add(facts(cache.read(KEY)))

    assert found == {NOTHING}


def test_another_keys_file_under_this_name(cache, directory, file):
    """A token is for the host it was issued for, even when its file was renamed."""
    key = OTHER_KEYS["host"]
    file.rename(directory / key.name())

    assert (facts(cache.read(key)), cache.list_keys()) == (NOTHING, [])


def test_what_a_killed_writer_left_is_overwritten(cache, directory, file):
    """A half-written file is never read, and is gone after the next write."""
    stray = file.with_name(file.name + ".new")
    stray.write_bytes(dump(KEY, Entry(TOKEN)) * 3)
    stray.chmod(0o600)
    before = facts(cache.read(KEY)), [key.fields for key in cache.list_keys()]
    cache.write(KEY, Entry(refused_sha256="x"))

    assert before == (KEPT, [KEY.fields])
    assert facts(cache.read(KEY)) == facts(Entry(refused_sha256="x"))
    assert modes(directory) == {KEY.name(): "-rw-------"}


def test_readers_see_the_old_entry_or_the_new_one(cache, file):
    """A reader that opened the old file keeps it whole: files are replaced, not rewritten."""
    with file.open("rb") as old:
        cache.write(KEY, Entry())

        assert old.read() == dump(KEY, Entry(TOKEN))


@pytest.mark.parametrize(
    "directories",
    [[], ["/proc/1/nowhere"], ["/dev/null/cache"], ["/proc/cache"]],
    ids=["none", "in /proc", "below a file", "read-only parent"],
)
@pytest.mark.parametrize("is_explicit", [True, False])
def test_without_a_usable_directory(directories, is_explicit):
    """Nothing is read, nothing locked, a write is a CacheError, and a `get` works."""
    cache = TmpfsCache(directories, is_explicit=is_explicit)
    with cache.lock(KEY, within(1)) as held, pytest.raises(CacheError):
        cache.write(KEY, Entry(TOKEN))

    assert (held, facts(cache.read(KEY)), cache.list_keys()) == (False, NOTHING, [])
    assert acquire(cache) == TOKEN.password.reveal()


def test_an_explicit_directory_is_made_with_its_parents(tmp_path):
    """What somebody configured is used wherever it lies."""
    path = tmp_path / "a/b/cache"
    TmpfsCache([str(path)], is_explicit=True).write(KEY, Entry(TOKEN))

    assert stat.filemode(path.stat().st_mode) == "drwx------"


def test_reading_makes_nothing(cache, directory):
    """A look into a cache that is not there leaves it that way."""
    cache.read(KEY)
    cache.list_keys()

    assert not directory.exists()


@pytest.fixture
def memory_backed():
    """A new private directory in memory."""
    if not os.access("/dev/shm", os.W_OK):
        pytest.skip("no /dev/shm here")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as path:
        yield Path(path)


def test_a_default_directory_is_made_in_memory(memory_backed):
    """Of the usual places the first memory-backed one gets the directory."""
    paths = ["/proc/1/nowhere/cache", f"{memory_backed}/one", f"{memory_backed}/two"]
    cache = TmpfsCache(paths, is_explicit=False)
    cache.write(KEY, Entry(TOKEN))

    assert modes(memory_backed) == {"one": "drwx------"}
    assert facts(cache.read(KEY)) == KEPT


def test_a_default_directory_is_not_made_on_a_disk(tmp_path):
    """No token reaches a disk unasked."""
    if _file_system(tmp_path) in ("tmpfs", "ramfs"):
        pytest.skip("the temporary directory of this machine is in memory")
    cache = TmpfsCache([f"{tmp_path}/cache"], is_explicit=False)
    with pytest.raises(CacheError):
        cache.write(KEY, Entry(TOKEN))

    assert not (tmp_path / "cache").exists()


def test_a_default_directory_is_not_made_where_others_can_replace_it(memory_backed):
    """A parent that others may rename things in, without the sticky bit, is not used."""
    memory_backed.chmod(0o777)
    with pytest.raises(CacheError):
        TmpfsCache([f"{memory_backed}/cache"], is_explicit=False).write(KEY, Entry(TOKEN))

    assert modes(memory_backed) == {}


def test_the_next_directory_serves_when_the_first_is_not_ours(memory_backed):
    """Somebody else's directory in our place only costs the first choice."""
    (memory_backed / "one").mkdir(mode=0o755)
    cache = TmpfsCache([f"{memory_backed}/one", f"{memory_backed}/two"], is_explicit=False)
    cache.write(KEY, Entry(TOKEN))

    assert (list((memory_backed / "one").iterdir()), facts(cache.read(KEY))) == ([], KEPT)


def _file_system(path: Path) -> str:
    command = ["stat", "--file-system", "--format=%T", str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def tiny(tmp_path):
    """A function that mounts a file system of so many bytes and files."""
    mounted = []

    def mount(options):
        path = tmp_path / "tiny"
        path.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"{options},mode=0700", "tmpfs", str(path)]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("cannot mount here")
        mounted.append(path)
        return path

    yield mount
    for path in mounted:
        subprocess.run(["umount", str(path)], check=True)


@needs_root
@pytest.mark.parametrize("free", [0, 1], ids=["no page", "one page"])
def test_a_full_disk_never_fails_a_get(tiny, free):
    """Without room the cache keeps what it had or nothing, and the token is still given."""
    path = tiny("size=64k")
    cache = TmpfsCache([str(path)], is_explicit=True)
    (path / "filler").write_bytes(b"x" * 4096 * (16 - free))

    assert acquire(cache) == TOKEN.password.reveal()
    assert acquire(cache) == TOKEN.password.reveal()
    assert facts(cache.read(KEY)) in (NOTHING, KEPT)


@needs_root
def test_a_full_disk_keeps_the_old_entry(tiny):
    """A write that does not fit is a CacheError and leaves what was there."""
    path = tiny("size=64k")
    cache = TmpfsCache([str(path)], is_explicit=True)
    cache.write(KEY, Entry(TOKEN))
    (path / "filler").write_bytes(b"x" * 4096 * 14)
    with pytest.raises(CacheError):
        cache.write(KEY, Entry(refused_sha256="x" * 6000))

    assert facts(cache.read(KEY)) == KEPT


@needs_root
def test_no_room_for_another_file(tiny):
    """A file system without free inodes never fails a `get` either."""
    cache = TmpfsCache([str(tiny("size=64k,nr_inodes=1"))], is_explicit=True)

    assert acquire(cache) == TOKEN.password.reveal()


HOLDER = """
import sys
from git_credential_relay.relay.cache.entry import Key
from git_credential_relay.relay.cache.tmpfs import TmpfsCache
from git_credential_relay.relay.deadline import Clock, Deadline

key = Key([tuple(pair.split("=", 1)) for pair in sys.argv[3:]])
cache = TmpfsCache([sys.argv[1]], is_explicit=True)
with cache.lock(key, Deadline(float(sys.argv[2]), Clock())) as held:
    print(held, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(directory):
    """A function that starts a process which takes KEY's lock with a deadline."""
    started = []

    def start(seconds: float, key: Key = KEY) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [
                sys.executable,
                *("-c", HOLDER, str(directory), str(seconds)),
                *(f"{name}={value}" for name, value in key.fields),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def wait_for_lock(cache, seconds):
    started = time.monotonic()
    with cache.lock(KEY, Deadline(seconds, Clock())) as held:
        return held, time.monotonic() - started


def test_a_killed_holder_frees_its_lock(cache, holder):
    """The kernel gives the lock back with the process."""
    process = holder(60)
    before, _ = wait_for_lock(cache, 0.1)
    process.kill()
    process.wait()
    after, took = wait_for_lock(cache, 5)

    assert (before, after, took < 0.2) == (False, True, True)


def test_a_busy_holder_is_waited_for(cache, holder):
    """Within its own deadline a holder is at work, and we wait as long as we may."""
    holder(60)
    held, took = wait_for_lock(cache, 1.4)

    assert not held
    assert took == pytest.approx(1.4, abs=0.2)


def test_a_stopped_holder_does_not_stop_others(cache, holder):
    """A holder well past its own deadline is not waited for: we go on alone, without it."""
    process = holder(0.2)
    process.send_signal(signal.SIGSTOP)
    held, took = wait_for_lock(cache, 10)

    assert (held, 0.9 < took < 2) == (False, True)
    assert acquire(cache) == TOKEN.password.reveal()
    assert facts(cache.read(KEY)) == NOTHING


def test_an_earlier_holders_deadline_does_not_count_for_a_later_one(cache, holder):
    """Whoever takes the lock says anew until when it works."""
    process = holder(0.01)
    process.communicate("")
    time.sleep(0.05)
    holder(60)
    held, took = wait_for_lock(cache, 1.4)

    assert not held
    assert took == pytest.approx(1.4, abs=0.2)


@pytest.mark.parametrize("umask", [0o000, 0o777])
def test_an_odd_umask_neither_opens_nor_breaks_the_cache(tmp_path, umask):
    """Whatever modes the process gives its new files, ours are 0700 and 0600."""
    before = os.umask(umask)
    try:
        cache = TmpfsCache([f"{tmp_path}/cache"], is_explicit=True)
        with cache.lock(KEY, Deadline(1.0, Clock())) as is_held:
            cache.write(KEY, Entry(TOKEN))
    finally:
        os.umask(before)

    assert is_held
    assert facts(cache.read(KEY)) == KEPT
    assert stat.S_IMODE((tmp_path / "cache").stat().st_mode) == 0o700
    assert {stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "cache").iterdir()} == {0o600}
