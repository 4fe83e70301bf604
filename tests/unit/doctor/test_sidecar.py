"""Who could stand in for the sidecar, who else has its secret, and what it remembers."""

from __future__ import annotations

import os
import socket

import pytest

from git_credential_relay.credential.forge import Target
from git_credential_relay.doctor.checks.api import check_sidecar_api
from git_credential_relay.doctor.checks.gh_socket import check_gh_socket
from git_credential_relay.doctor.checks.reach import check_reach
from git_credential_relay.doctor.checks.sidecar import (
    User,
    check_place,
    check_sidecar,
    check_trouble,
)
from git_credential_relay.doctor.checks.versions import check_git
from git_credential_relay.doctor.git import Git
from git_credential_relay.doctor.meeting import Met, meet
from git_credential_relay.errors import SidecarError
from git_credential_relay.relay.deadline import Clock
from tests.fakes.configs import GITHUB_COM, WORKSPACE_SECRET, api_config, make_config
from tests.fakes.sidecar import socket_directory
from tests.unit.cli.test_ask import answering

US = os.geteuid()
AGENT = User(US + 4242, frozenset({US + 4242}))
OWNER = User(US or 4343, frozenset())
APP = Target(GITHUB_COM, "acme/app")


@pytest.fixture
def base():
    """A directory that is ours, where every user can come."""
    with socket_directory() as directory:
        yield directory


def place(directory, *, listener=US, user=AGENT):
    """The status and code for a socket in the directory."""
    found = check_place(f"{directory}/git.sock", listener, user)
    return found.status, found.code


def test_a_directory_of_the_sidecar_s_own_is_safe(base):
    """Nobody else can replace anything there, though /tmp above it is open and sticky."""
    assert place(base) == ("ok", "ok")


@pytest.mark.parametrize(
    ("mode", "gids", "code"),
    [
        (0o777, (), "socket-directory-writable"),
        (0o1777, (), "socket-directory-writable"),
        (0o775, (os.getegid(),), "socket-directory-writable"),
        (0o775, (), "ok"),
        (0o700, (), "socket-directory-closed"),
        (0o710, (os.getegid(),), "ok"),
    ],
)
def test_modes_of_the_directory(base, mode, gids, code):
    """What the mode lets this user do, by its groups too: write a socket, or not even come near."""
    base.chmod(mode)
    user = User(AGENT.uid, AGENT.gids | set(gids))

    assert place(base, user=user)[1] == code


@pytest.mark.parametrize(
    ("mode", "command"),
    [(0o777, "chmod go-w {}"), (0o1777, None), (0o700, "chmod 0755 {}"), (0o755, None)],
)
def test_the_command_that_mends_the_directory(base, mode, command):
    """For a directory of the sidecar's own; one that all share is not for a socket."""
    base.chmod(mode)

    found = check_place(f"{base}/git.sock", US, AGENT)
    assert found.fix == (command and command.format(base))


def test_a_directory_of_the_agent_s_own(base):
    """With a sidecar of another uid it is the agent's to exchange, whatever its mode."""
    owner = User(US, frozenset()) if US else None
    if owner is None:
        os.chown(base, AGENT.uid, -1)
        owner = AGENT

    assert place(base, listener=owner.uid + 1, user=owner) == ("fail", "socket-directory-writable")


def test_a_directory_above_that_others_can_write(base):
    """Whoever can rename the directory can put another one in its place, sticky ones apart."""
    inner = base / "run"
    inner.mkdir()
    base.chmod(0o777)
    assert place(inner) == ("fail", "socket-replaceable")
    base.chmod(0o1777)
    assert place(inner) == ("ok", "ok")


def test_a_link_on_the_way_counts(base):
    """A link that this user can exchange leads where this user wants."""
    (base / "safe").mkdir()
    (base / "open").mkdir()
    (base / "open").chmod(0o777)
    (base / "open" / "link").symlink_to(base / "safe")

    assert place(base / "open" / "link") == ("fail", "socket-replaceable")
    assert place(base / "safe") == ("ok", "ok")


def test_under_one_uid_only_git_s_daemon_matters(base):
    """A directory of mode 0700 is one in which git would start a daemon of its own."""
    user = User(US, frozenset())
    base.chmod(0o700)
    found = check_place(f"{base}/git.sock", US, user)
    assert (found.status, found.code) == ("warn", "socket-directory-private")
    assert found.fix == f"chmod 0755 {base}"
    base.chmod(0o755)
    assert place(base, user=user) == ("ok", "ok")
    assert place(base / "away", user=user) == ("skip", "no-directory")


def test_root_is_told_to_look_as_the_agent(base):
    """To root everything is open, which says nothing about the agent."""
    root = User(0, frozenset({0}))

    assert place(base, listener=4711, user=root) == ("skip", "as-root")
    assert check_reach(api_config(), Met("/x", 0), root).code == "as-root"


def test_a_sidecar_of_the_same_uid_is_weaker():
    """It is said plainly, with the reason; another uid is well."""
    [same] = check_sidecar(Met("/x", AGENT.uid), [], AGENT)
    [other] = check_sidecar(Met("/x", AGENT.uid + 1), ["/x"], AGENT)

    assert (same.status, same.code) == ("warn", "sidecar-own-uid")
    assert "another uid is the wall" in same.message
    assert (other.status, other.message) == ("ok", f"answers at /x, as uid {AGENT.uid + 1}")


def test_a_uid_that_is_not_served():
    """The finding names the uid, and the setting that lets it in."""
    error = SidecarError("the sidecar does not serve uid 7", code="sidecar-refused")
    here = os.path.realpath("/dev/null")  # anything that is there
    [found] = check_sidecar(Met(here, 0, error=error), [], AGENT)
    assert found.code == "sidecar-missing"  # no socket

    with socket_directory() as directory, socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"{directory}/git.sock")
        [found] = check_sidecar(Met(f"{directory}/git.sock", 0, error=error), [], AGENT)
    assert (found.status, found.code) == ("fail", "sidecar-refused")
    assert f"ALLOW_UIDS name {AGENT.uid}" in found.message


def test_the_secret_in_the_environment(tmp_path):
    """It is the agent's as well as the sidecar's: told by its place, with the command."""
    away = str(tmp_path / "none")
    found = check_reach(api_config(), Met("/x", 0), OWNER, away)
    assert (found.status, found.code) == ("fail", "secret-within-reach")
    assert (found.fix, WORKSPACE_SECRET in found.message) == ("unset WORKSPACE_TOKEN", False)
    assert check_reach(api_config(), Met("/x", OWNER.uid), OWNER, away).status == "warn"
    assert check_reach(make_config(), Met("/x", 0), OWNER, away).status == "ok"


def test_the_secret_in_a_file(tmp_path):
    """A file counts if it can be read, the sidecar's own settings too."""
    secret, own = tmp_path / "secret", tmp_path / "sidecar.env"
    config = make_config(WORKSPACE_TOKEN_FILE=str(secret))
    assert check_reach(config, Met("/x", 0), OWNER, str(own)).status == "ok"
    secret.write_text(WORKSPACE_SECRET)
    found = check_reach(config, Met("/x", 0), OWNER, str(own))
    assert found.fix == "unset WORKSPACE_TOKEN_FILE"
    own.write_text(f"CLOUD_API_URL=https://x\nWORKSPACE_TOKEN={WORKSPACE_SECRET}\n")
    found = check_reach(make_config(), Met("/x", 0), OWNER, str(own))
    assert (found.code, found.fix) == ("secret-within-reach", f"chmod 0600 {own}")
    assert str(own) in found.message
    own.write_text(f"WORKSPACE_TOKEN_FILE={secret}\n")
    found = check_reach(make_config(), Met("/x", 0), OWNER, str(own))
    assert (found.code, found.fix) == ("secret-within-reach", f"chmod 0600 {secret}")
    for harmless in ("CLOUD_API_URL=https://x\n", "WORKSPACE_TOKEN_FILE=/nonexistent\n"):
        own.write_text(harmless)
        assert check_reach(make_config(), Met("/x", 0), OWNER, str(own)).status == "ok"


def test_the_secret_in_the_keyring(tmp_path):
    """A login of this user's is a way to it as well."""
    config = make_config(GIT_CREDENTIAL_RELAY_KEYRING="1")
    found = check_reach(config, Met("/x", 0), OWNER, str(tmp_path / "none"))

    assert (found.code, found.fix) == ("secret-within-reach", "git-credential-relay logout")


def test_the_trap_of_git_s_own_cache_is_no_concern_of_a_sidecar_s():
    """A git that keeps expired tokens does so in its own daemon alone."""
    alone, beside = (check_git(Git("git", {}), (2, 39), "2.39.5", s) for s in (None, "/x"))

    assert "may serve a dead one" in alone.message
    assert "may serve a dead one" not in beside.message


@pytest.mark.parametrize(
    ("state", "code"),
    [("failing", "connect-failed"), ("not configured", "sidecar-not-configured")],
)
def test_an_api_in_trouble_at_the_sidecar(state, code):
    """By the sidecar's own account, where nobody has asked it for a token just now."""
    trouble = {"code": "connect-failed", "at": 9, "lines": ["git-credential-relay: error: away"]}
    api = {"url": "https://x", "state": state, "trouble": trouble}
    found = check_sidecar_api(Met("/x", 0, {"workspaces": [{"name": "default", "api": api}]}))

    assert (found.status, found.code) == ("fail", code)
    assert found.message.startswith("https://x for workspace default: ")


def key(repository, *, at, is_troubled=True, forge="https://github.com"):
    """A key of the status, as far as it matters here."""
    trouble = {"code": "denied", "at": at, "lines": [f"error about {repository} at {at}"]}
    return {
        "forge": forge, "repository": repository, "is_troubled": is_troubled, "trouble": trouble
    }  # fmt: skip


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ([key("acme/app", at=90)], "10 s ago: error about acme/app at 90"),
        ([key("acme/app", at=80), key(None, at=90)], "error about None at 90"),
        ([key("acme/app", at=90, is_troubled=False)], None),
        ([key("acme/lib", at=90)], None),
        ([key("acme/app", at=90, forge="https://ghe.example")], None),
        ([], None),
    ],
)
def test_the_last_trouble_of_this_repository(keys, words):
    """Of this repository or of the forge as a whole, and only while it is not over."""
    met = Met("/x", 0, {"workspaces": [{"keys": keys}]})
    found = check_trouble(met, APP, now=100)

    assert found.status == ("warn" if words else "ok")
    assert words is None or words in found.message


def test_gh_s_socket_is_looked_at_where_one_is_configured(base):
    """None is well; one that is no socket, or where nobody answers, is told with its path."""
    path = base / "gh.sock"
    assert check_gh_socket(make_config(), {}).status == "ok"
    config = make_config(GIT_CREDENTIAL_RELAY_GH_SOCKET=str(path))
    assert check_gh_socket(config, {}).code == "gh-socket-missing"
    path.write_text("")
    assert "is no socket" in check_gh_socket(config, {}).message


def test_gh_s_settings_that_lead_to_the_socket_are_well(base):
    """The directory that `install` has made is no other one, however its path is written."""
    path = base / "gh.sock"
    config = make_config(GIT_CREDENTIAL_RELAY_GH_SOCKET=str(path))
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        own, other = (
            check_gh_socket(config, {"GH_CONFIG_DIR": directory})
            for directory in ("/etc/git-credential-relay/gh/", "/home/a/.config/gh")
        )

    assert (own.status, other.code) == ("ok", "gh-config-elsewhere")


@pytest.mark.parametrize("answer", [b"[" * 100_000, b"[]", b"9" * 5000, b"\xff"])
def test_whoever_answers_nonsense_is_no_sidecar(answer):
    """Whatever it is: lists within lists, numbers without end, no text at all."""
    with answering(answer) as path:
        met = meet(str(path), Clock())

    assert met.error is not None
    assert met.error.code == "not-a-sidecar"
