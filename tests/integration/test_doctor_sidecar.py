"""Doctor where a sidecar keeps the secret: each thing that can be wrong with it, broken alone."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from git_credential_relay.doctor.checks.gh_socket import check_gh_socket
from git_credential_relay.doctor.checks.sidecar import User, check_client, check_sidecar
from git_credential_relay.doctor.git import Git
from git_credential_relay.doctor.meeting import meet
from git_credential_relay.relay.cache_socket.client import PROMPT_SECONDS
from git_credential_relay.relay.deadline import Clock
from git_credential_relay.secret import Secret, token_sha256
from tests.fakes.agent import SECRET
from tests.fakes.api import refuses
from tests.fakes.configs import make_config
from tests.fakes.patient import GIT, Patient, patient
from tests.fakes.sidecar import THIRD_UID, SidecarProcess, socket_directory, workspace_environ

# An ordinary user cannot make a file that is root's, and its sidecar can have no other uid.
HEALTHY = (
    set()
    if os.geteuid() == 0
    else {("system-config", "warn", "config-not-roots"), ("sidecar", "warn", "sidecar-own-uid")}
)


@dataclass
class Ward:
    """A patient without the secret, and the sidecar that has it."""

    patient: Patient
    sidecar: SidecarProcess

    def problems(self, **how: Any) -> set[tuple[str, str, str]]:
        """What is wrong, as name, status and code."""
        checks = self.patient.examine(**how)
        wrong = {(c.name, c.status, c.code) for c in checks if c.status in ("warn", "fail")}
        return wrong - HEALTHY

    def message(self, name: str, **how: Any) -> str:
        """What the check called `name` says."""
        [found] = [c.message for c in self.patient.examine(**how) if c.name == name]
        return found

    def rewire(self, change: Callable[[str], str]) -> None:
        """Change the system's git configuration."""
        self.patient.system.write_text(change(self.patient.system.read_text()))


@contextmanager
def git_daemon(path: Path) -> Iterator[None]:
    """Git's own daemon in the place of the sidecar, as git itself would start it."""
    path.parent.chmod(0o700)
    request = "protocol=https\nhost=example.org\nusername=x\npassword=y\n\n"
    command = [GIT, "credential-cache", f"--socket={path}"]
    environ = {"PATH": os.environ["PATH"], "HOME": "/"}
    subprocess.run([*command, "store"], input=request, text=True, env=environ, check=True, cwd="/")
    try:
        yield
    finally:
        subprocess.run([*command, "exit"], env=environ, check=True, cwd="/")


@pytest.fixture
def ward(tmp_path, api):
    """All is well: git's own client asks the sidecar first, our program explains failures."""
    with patient(tmp_path / "patient", api) as well, socket_directory() as directory:
        launcher = well.agent.launcher
        cache = f"cache --socket={directory}/git.sock"
        text = well.system.read_text()
        well.system.write_text(
            text.replace(f"helper = {launcher}", f"helper = {cache}\n\thelper = {launcher}")
        )
        for name in ("CLOUD_API_URL", "WORKSPACE_ID", "WORKSPACE_TOKEN"):
            del well.environ[name]
        well.environ["GIT_CREDENTIAL_RELAY_SOCKET"] = f"{directory}/git.sock"
        hosts = {"GIT_CREDENTIAL_RELAY_HOSTS": well.environ["GIT_CREDENTIAL_RELAY_HOSTS"]}
        environ = workspace_environ(api.url) | hosts
        with SidecarProcess(directory, environ) as sidecar:
            yield Ward(well, sidecar)


def test_nothing_is_wrong(ward):
    """With and without the network; the token is asked of the sidecar, as git would, and told by
    its hash, and a push is accepted with it."""
    token = ward.patient.issue()

    assert ward.problems(is_offline=True) == set()
    assert ward.patient.api.requests == []
    assert ward.problems() == set()
    assert f"from sidecar, 59 min left, sha256 {token_sha256(Secret(token))}" in ward.message(
        "credential"
    )
    assert "the sidecar says: answering" in ward.message("api")
    assert "accepts a push to acme/app" in ward.message("push")
    assert "in the sidecar's memory" in ward.message("cache", is_offline=True)
    assert len(ward.patient.api.requests) == 1
    assert not ward.patient.agent.cache.exists()


def test_git_alone_is_enough(ward):
    """The two lines of a Dockerfile that name the socket and nothing of ours are as good, where
    doctor is told the socket or knows it as a sidecar's."""
    launcher = f"\thelper = {ward.patient.agent.launcher}\n"
    ward.rewire(lambda text: text.replace(launcher, ""))

    assert ward.problems(is_offline=True) == set()
    assert "none is needed" in ward.message("launchers", is_offline=True)


def no_socket(ward):
    ward.sidecar.stop()


def stale(ward):
    ward.sidecar.kill()


def our_program_first(ward):
    cache = f"\thelper = cache --socket={ward.sidecar.socket}\n"
    launcher = f"\thelper = {ward.patient.agent.launcher}\n"
    ward.rewire(lambda text: text.replace(cache + launcher, launcher + cache))


def another_cache(ward):
    ward.patient.config("credential.helper", "cache --socket=/elsewhere/git.sock")


def another_sidecar(ward):
    ward.rewire(lambda text: text.replace(f"{ward.sidecar.socket}", "/run/git-credential-relay/x"))


def a_git_without_the_client(ward):
    git = ward.patient.programs / "git"
    refuse = "echo \"git: 'credential-cache' is not a git command.\" >&2; exit 1"
    lines = git.read_text().splitlines(keepends=True)
    lines.insert(1, f'case "$1" in credential-cache) {refuse} ;; esac\n')
    git.write_text("".join(lines))


def the_secret_is_closed_to_us(ward):
    # As in each `docker exec`, which has the container's variables.
    ward.patient.environ |= {
        "CLOUD_API_URL": "https://relay.example.com",
        "WORKSPACE_ID": "ws-1",
        "WORKSPACE_TOKEN_FILE": "/proc/1/mem/closed",
    }


def a_gh_socket_that_is_missing(ward):
    ward.patient.environ["GIT_CREDENTIAL_RELAY_GH_SOCKET"] = "/nonexistent/gh.sock"


def another_gh_directory(ward):
    # Any socket that is answered will do.
    ward.patient.environ["GIT_CREDENTIAL_RELAY_GH_SOCKET"] = str(ward.sidecar.socket)
    ward.patient.environ["GH_CONFIG_DIR"] = str(ward.patient.home / "gh")


BREAKS = {
    "missing": (no_socket, "sidecar", "fail", "sidecar-missing"),
    "stale": (stale, "sidecar", "fail", "sidecar-stale"),
    "our-program-first": (our_program_first, "helper-order", "warn", "sidecar-behind"),
    "another-cache": (another_cache, "helper-order", "warn", "helper-behind"),
    "another-sidecar": (another_sidecar, "sidecar", "warn", "other-socket"),
    "no-client": (a_git_without_the_client, "git-cache-client", "fail", "cache-client-missing"),
    "no-gh-socket": (a_gh_socket_that_is_missing, "gh-socket", "fail", "gh-socket-missing"),
    "gh-elsewhere": (another_gh_directory, "gh-socket", "warn", "gh-config-elsewhere"),
}


@pytest.mark.parametrize(("act", "name", "status", "code"), BREAKS.values(), ids=BREAKS)
def test_one_thing_broken_is_one_finding(ward, act, name, status, code):
    """Doctor says exactly what is broken."""
    act(ward)

    assert ward.problems(is_offline=True) - {("sidecar", "warn", "sidecar-own-uid")} == {
        (name, status, code)
    }


def test_a_secret_that_is_closed_to_the_agent_is_no_trouble(ward):
    """Its name is known here, and nobody but the sidecar has to read it."""
    the_secret_is_closed_to_us(ward)

    assert ward.problems(is_offline=True) == set()
    assert "left to the sidecar" in ward.message("configuration", is_offline=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to look as another user")
def test_a_uid_that_was_not_let_in(ward):
    """Both sockets are closed to it: that is told, and git's client is not said to be missing."""
    path = str(ward.sidecar.socket)
    config = make_config(GIT_CREDENTIAL_RELAY_GH_SOCKET=path)
    ward.sidecar.socket.chmod(0o600)
    os.seteuid(THIRD_UID)
    try:
        met = meet(path, Clock())
        [found] = check_sidecar(met, [], User.current())
        others = [check_client(Git(GIT, {}), met), check_gh_socket(config, {})]
    finally:
        os.seteuid(0)

    assert [check.code for check in (found, *others)] == [
        "sidecar-refused",
        "ok",
        "gh-socket-refused",
    ]


def test_git_s_own_daemon_in_its_place(ward):
    """In a directory of mode 0700 git starts its own daemon where the sidecar is away; that
    answers nothing of ours, and both the directory and the daemon are told."""
    ward.sidecar.kill()
    with git_daemon(ward.sidecar.socket):
        found = ward.problems(is_offline=True)
        [told] = [c for c in ward.patient.examine(is_offline=True) if c.name == "sidecar"]
        assert "credential-cache--daemon" in told.message
        assert told.fix == f"git credential-cache --socket={ward.sidecar.socket} exit"

    assert found == {
        ("sidecar", "fail", "not-a-sidecar"),
        ("sidecar-socket", "warn", "socket-directory-private"),
    }


def test_a_sidecar_that_hangs(ward):
    """A stopped one is not waited for without end, is not called away, and git is not sent to
    wait for it as well."""
    ward.sidecar.send(signal.SIGSTOP)
    began_at = time.monotonic()
    met = meet(str(ward.sidecar.socket), Clock(), seconds=0.2)
    assert time.monotonic() - began_at < PROMPT_SECONDS
    git = Git(str(ward.patient.programs / "git"), ward.patient.environ)
    [found] = check_sidecar(met, [], User.current())

    assert (found.status, found.code) == ("fail", "sidecar-silent")
    assert check_client(git, met).status == "skip"


def test_the_api_fails_at_the_sidecar(ward):
    """The API's own code is told, by the sidecar's account; git gets nothing; nothing is pushed."""
    ward.patient.api.script(refuses(403, error="no", code="WORKSPACE_REVOKED", hint="ask Ada"))
    checks = {c.name: c for c in ward.patient.examine()}

    assert (checks["api"].status, checks["api"].code) == ("fail", "WORKSPACE_REVOKED")
    assert checks["api"].message.endswith("; ask Ada")
    assert checks["credential"].code == "see-api"
    assert checks["push"].code == "no-credential"
    again = ward.message("last-trouble", is_offline=True)
    assert "[WORKSPACE_REVOKED] (hint: ask Ada;" in again
    assert ("last-trouble", "warn", "not-over") in ward.problems(is_offline=True)


def test_the_api_is_away(ward):
    """The sidecar is there and cannot reach the API: that is said of the API, with its code."""
    ward.sidecar.stop()
    ward.sidecar.environ["CLOUD_API_URL"] = "http://127.0.0.1:9"
    ward.sidecar.environ["GIT_CREDENTIAL_RELAY_DEADLINE"] = "1"
    ward.sidecar.start()
    found = ward.problems()

    assert ("api", "fail", "connect-failed") in found
    assert {name for name, _, _ in found} == {"api"}


def test_a_sidecar_that_is_not_configured(ward):
    """It runs and knows no API."""
    ward.sidecar.stop()
    ward.sidecar.environ["CLOUD_API_URL"] = ""
    ward.sidecar.start()

    assert ("api", "fail", "sidecar-not-configured") in ward.problems()


def test_a_host_that_the_sidecar_does_not_know(ward):
    """Git is wired for it, and the sidecar was not told of it: nobody answers, and that is why."""
    ward.sidecar.stop()
    ward.sidecar.environ["GIT_CREDENTIAL_RELAY_HOSTS"] = ""
    ward.sidecar.start()

    assert ward.problems() == {("credential", "fail", "host-not-served")}
    assert "the sidecar has nothing for 127.0.0.1" in ward.message("credential")


def test_without_a_sidecar_there_is_nothing_to_say_of_it(ward):
    """Direct mode is said to be that, in one line."""
    launcher, cache = (
        ward.patient.agent.launcher,
        f"\thelper = cache --socket={ward.sidecar.socket}\n",
    )
    ward.rewire(lambda text: text.replace(cache, ""))
    del ward.patient.environ["GIT_CREDENTIAL_RELAY_SOCKET"]
    ward.patient.environ |= {"WORKSPACE_TOKEN": SECRET, "WORKSPACE_ID": "ws-1"}
    ward.patient.environ["CLOUD_API_URL"] = ward.patient.api.url
    names = {c.name for c in ward.patient.examine(is_offline=True)}

    assert str(launcher) in ward.patient.system.read_text()
    assert ward.problems(is_offline=True) == set()
    assert not names & {"sidecar-socket", "sidecar-secret", "git-cache-client", "last-trouble"}
