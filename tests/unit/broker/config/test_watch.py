"""The newest good configuration."""

import logging
import os

import pytest

from git_credential_relay.broker.config.load import BrokerConfig
from git_credential_relay.broker.config.watch import RETRY_SECONDS, ConfigWatch, FileWatch
from git_credential_relay.errors import ConfigError
from tests.fakes.broker_files import ONE, TWO, write_config
from tests.fakes.fake_clock import FakeClock


@pytest.fixture
def clock():
    return FakeClock()


def test_edit_is_seen_by_the_next_look(tmp_path, clock):
    """A workspace that the file has just got is there at the next look."""
    path = write_config(tmp_path, ONE)
    watch = ConfigWatch(path, clock.clock.monotonic)
    assert list(watch.current().workspaces) == ["w1"]

    write_config(tmp_path, TWO)

    assert list(watch.current().workspaces) == ["w1", "w2"]
    assert watch.newest is watch.current()


def test_two_edits_of_one_length_and_one_moment_are_both_seen(tmp_path, clock):
    """Edits that leave the very same stamp are told apart, while they are young."""
    path = tmp_path / "file"
    path.write_text("a")
    stamp = os.stat(path)
    watch = FileWatch(path, clock.clock.monotonic)

    assert watch.is_changed()
    path.write_text("b")
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert watch.is_changed()
    assert watch.is_changed()  # whatever the stamp says: it is not settled yet
    assert watch.is_changed()
    clock.advance(1)
    assert watch.is_changed()  # the last look at this stamp
    assert not watch.is_changed()


def test_settled_file_is_not_read_again(tmp_path, clock):
    """Looking at an unchanged configuration gives the same object, without parsing."""
    watch = ConfigWatch(write_config(tmp_path, ONE), clock.clock.monotonic)
    clock.advance(1)

    first = watch.current()

    assert all(watch.current() is first for _ in range(3))


@pytest.mark.parametrize("broken", ["listen = ", "unknown = 1\n", "\x00", None], ids=str)
def test_broken_edit_leaves_the_last_good_state(tmp_path, clock, caplog, broken):
    """After an edit that makes no sense, or a removal, the last good configuration counts, which
    is said once and for readiness; the next good edit ends that."""
    path = write_config(tmp_path, ONE)
    watch = ConfigWatch(path, clock.clock.monotonic)
    good = watch.current()
    clock.advance(1)

    if broken is None:
        path.unlink()
    else:
        path.write_text(broken)
    with caplog.at_level(logging.ERROR):
        for _ in range(5):
            assert watch.current() is good
            clock.advance(RETRY_SECONDS)

    assert watch.trouble is not None
    assert str(path) in watch.trouble
    assert len(caplog.records) == 1
    write_config(tmp_path, TWO)
    assert list(watch.current().workspaces) == ["w1", "w2"]
    assert watch.trouble is None


def test_edit_taken_back_ends_the_trouble(tmp_path, clock):
    """Once the file is again what counts anyway, nothing is wrong any more."""
    path = write_config(tmp_path, ONE)
    watch = ConfigWatch(path, clock.clock.monotonic)
    path.write_text("nonsense")
    watch.current()
    assert watch.trouble

    write_config(tmp_path, ONE)
    watch.current()

    assert watch.trouble is None


def test_configuration_waits_for_a_file_it_names(tmp_path, clock):
    """A configuration that was refused for a missing secret file counts once that is there."""
    path = write_config(tmp_path, ONE)
    watch = ConfigWatch(path, clock.clock.monotonic)
    (tmp_path / "w2.secret").unlink()
    path.write_text(TWO)
    assert list(watch.current().workspaces) == ["w1"]
    clock.advance(1)
    watch.current()

    (tmp_path / "w2.secret").write_text("second-secret")
    clock.advance(RETRY_SECONDS + 0.1)

    assert list(watch.current().workspaces) == ["w1", "w2"]


def test_callback_sees_a_configuration_first_and_may_refuse_it(tmp_path, clock):
    """What cannot be built from a new configuration refuses it, and what was built from it
    before is built from the old one again."""
    path = write_config(tmp_path, ONE)
    watch = ConfigWatch(path, clock.clock.monotonic)
    seen = []
    watch.on_change(lambda config: seen.append(len(config.workspaces)))

    def refuse(config):
        if len(config.workspaces) == 2:
            raise ConfigError("app.pem is no key")

    watch.on_change(refuse)
    write_config(tmp_path, TWO)

    assert list(watch.current().workspaces) == ["w1"]
    assert (watch.trouble, seen) == ("app.pem is no key", [2, 1])


def test_reload_announces_even_an_unchanged_file(tmp_path, clock):
    """SIGHUP has everything built anew: keys may have changed that the file only names."""
    watch = ConfigWatch(write_config(tmp_path, ONE), clock.clock.monotonic)
    seen: list[BrokerConfig] = []
    watch.on_change(seen.append)

    assert watch.reload() is None
    assert seen == [watch.newest]


def test_no_good_configuration_to_begin_with_is_an_error(tmp_path):
    """Without a first policy there is nothing to serve."""
    with pytest.raises(ConfigError, match=r"cannot read .*broker\.toml"):
        ConfigWatch(tmp_path / "broker.toml")
