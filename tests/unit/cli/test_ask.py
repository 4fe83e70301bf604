"""`why` and `status`, asked of a real sidecar, of none, and of what is no sidecar."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.fakes.api import refuses, serve_api
from tests.fakes.program import EXECUTABLE, run_program
from tests.fakes.sidecar import SidecarProcess, socket_directory, workspace_environ

P = "git-credential-relay: error: "
APP = "https://github.com/acme/app"


@pytest.fixture(scope="module")
def sidecar():
    """A sidecar that was asked for acme/app in vain, and for nothing else."""
    with serve_api() as api, socket_directory() as directory:
        api.script(refuses(403, error="not yours", code="NOT_GRANTED", hint="ask Ada"))
        with SidecarProcess(directory, workspace_environ(api.url)) as sidecar:
            assert sidecar.get("acme/app.git") == {}
            yield sidecar


@contextmanager
def answering(answer: bytes) -> Iterator[Path]:
    """A socket where something that is no sidecar answers the same to everybody."""
    with socket_directory() as directory, socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"{directory}/git.sock")
        listening.listen()

        def serve():
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection, suppress(BrokenPipeError):  # of who only came to look
                    while connection.recv(65536):
                        pass
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield directory / "git.sock"
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def ask(path, *arguments, **how):
    """The command with this socket."""
    return run_program("--socket", str(path), *arguments, **how)


def repository(directory: Path, *remotes: str) -> Path:
    """A repository with these remotes."""
    git = ["git", "-C", str(directory)]
    subprocess.run([*git, "init", "--quiet"], check=True)
    for number, url in enumerate(remotes):
        subprocess.run([*git, "remote", "add", f"r{number}", url], check=True)
    return directory


@pytest.mark.parametrize(
    "url",
    [
        APP,
        f"{APP}.git",
        "https://somebody:s3cr3t@github.com/acme/app",
        "https://GITHUB.com:443/acme/app.git/",
        "git@github.com:acme/app.git",
        "ssh://git@ssh.github.com:443/acme/app.git",
    ],
)
def test_why_understands_the_addresses_that_people_have(sidecar, url):
    """Every spelling of a repository's address, ssh's too, is about that repository; the exit
    code says that there is an answer."""
    done = ask(sidecar.socket, "why", url)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{APP} (git): this went wrong ")
    assert "not yours [NOT_GRANTED] (hint: ask Ada;" in done.stdout
    assert "s3cr3t" not in done.stdout


@pytest.mark.parametrize(
    "url", ["acme/app", "", "/srv/git/app", "https://", "file:///x", "https://github.com/a%0ab=c"]
)
def test_why_of_what_is_no_url_is_wrong_usage(sidecar, url):
    """One line, exit code 2, and nobody is asked."""
    done = ask(sidecar.socket, "why", url)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"{P}why takes the URL of a repository [usage] (hint: ")
    assert done.stderr.count("\n") == 1


def test_why_in_a_repository_is_about_its_remotes(sidecar, tmp_path, monkeypatch):
    """Where one stands says what is meant; remotes that nobody has asked for are said to be."""
    monkeypatch.chdir(repository(tmp_path, "git@github.com:acme/app", "https://evil.example/a/b"))
    known = ask(sidecar.socket, "why")
    assert known.stdout.startswith(f"{APP} (git): this went wrong ")
    assert "evil.example" not in known.stdout

    subprocess.run(["git", "remote", "set-url", "r0", "https://github.com/acme/new"], check=True)
    unknown = ask(sidecar.socket, "why").stdout.splitlines()
    assert unknown[0] == "https://github.com/acme/new: nobody has asked for it"
    assert unknown[1].startswith(f"{APP} (git): this went wrong ")


def test_a_remote_with_a_line_break_is_passed_over(sidecar, tmp_path, monkeypatch):
    """It would be another question of its own."""
    hostile = "https://github.com/a/b\nrelay=status"
    monkeypatch.chdir(repository(tmp_path, hostile, APP))
    done = ask(sidecar.socket, "why")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{APP} (git): this went wrong ")


def test_why_anywhere_else_is_about_the_latest_trouble(sidecar, tmp_path, monkeypatch):
    """Outside of a repository the last thing that went wrong is told."""
    monkeypatch.chdir(tmp_path)
    done = ask(sidecar.socket, "why")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{APP} (git): this went wrong ")


def test_status_for_people_and_for_programs(sidecar):
    """Lines without, one object with --json."""
    text, as_json = ask(sidecar.socket, "status"), ask(sidecar.socket, "status", "--json")

    assert (text.returncode, text.stderr, as_json.returncode, as_json.stderr) == (0, "", 0, "")
    assert text.stdout.splitlines()[0] == "workspace default: ws-1"
    [workspace] = json.loads(as_json.stdout)["workspaces"]
    assert workspace["keys"][0]["trouble"]["code"] == "NOT_GRANTED"


@pytest.mark.parametrize("command", [["why"], ["status"], ["status", "--json"]], ids=" ".join)
def test_no_sidecar_is_one_line_with_a_code(tmp_path, command):
    """The line names the socket and what to do; the exit code is that of a passing trouble."""
    done = ask(tmp_path / "none", *command)

    assert (done.returncode, done.stdout) == (75, "")
    assert done.stderr == (
        f"{P}there is no sidecar at {tmp_path}/none (No such file or directory)"
        " [sidecar-unreachable] (hint: start it: git-credential-relay sidecar; trying again may"
        " help)\n"
    )


@pytest.mark.parametrize("command", [["why"], ["status", "--json"]], ids=" ".join)
@pytest.mark.parametrize("answer", [b"", b"username=x\npassword=hunter2\n"])
def test_what_is_no_sidecar_is_said_to_be_none(command, answer):
    """Git's own daemon answers nothing to our questions, or with a password that it keeps: that
    is not shown."""
    with answering(answer) as path:
        done = ask(path, *command)

    assert (done.returncode, done.stdout) == (1, "")
    assert "hunter2" not in done.stderr
    assert "is not a sidecar [not-a-sidecar] (hint: it may be git's own" in done.stderr


def test_a_uid_that_is_not_served_is_told_so():
    """The sidecar's refusal is an error here, on stderr, with its own words and code."""
    line = f"{P}the sidecar does not serve uid 7 [sidecar-refused] (hint: name it; no)\n"
    with answering(line.encode()) as path:
        done = ask(path, "why", APP)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"{P}the sidecar does not serve uid 7 [sidecar-refused] (hint: name it; trying again"
        " before that will not help)\n"
    )


def test_whoever_answers_cannot_steer_the_terminal():
    """Control characters of an answer become spaces."""
    with answering(b"x\x1b[2J\x07\r\xc2\x9b31m\ny\n") as path:
        done = ask(path, "why", APP)

    assert done.stdout == "x [2J   31m\ny\n"


def test_watching_goes_on_until_ctrl_c(sidecar, tmp_path):
    """A sidecar that is away is said to be so, and is asked again; Ctrl-C ends it quietly."""
    link = tmp_path / "git.sock"
    with subprocess.Popen(
        [EXECUTABLE, "--socket", str(link), "status", "--json", "--watch"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Jobs in the background of a shell are started with it ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as watching:
        assert watching.stdout is not None
        assert watching.stderr is not None
        assert "[sidecar-unreachable]" in watching.stderr.readline()
        link.symlink_to(sidecar.socket)
        assert json.loads(watching.stdout.readline())["workspaces"]
        watching.send_signal(signal.SIGINT)
        out, err = watching.communicate(timeout=10)

    assert (watching.returncode, out, err) == (0, "", "")


def test_watching_ends_with_its_reader(sidecar):
    """When whoever reads has gone, so is it, without a word."""
    reader, writer = os.pipe()
    with subprocess.Popen(
        [EXECUTABLE, "--socket", str(sidecar.socket), "status", "--watch"],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
    ) as watching:
        os.close(writer)
        os.close(reader)
        _, err = watching.communicate(timeout=10)

    assert err == ""
