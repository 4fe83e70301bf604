"""The entrypoint of the image: whom it becomes, and how it ends."""

from __future__ import annotations

import signal

import pytest

ENTRYPOINT = "/opt/git-credential-relay/bin/git-credential-relay-entrypoint"
PYTHON = "/opt/git-credential-relay/bin/python"
ROOT = ("--user=0",)
STATUS = (
    "id -u; id -g; id -G;"
    " sed -n 's/^CapEff:\\t//p; s/^CapInh:\\t//p; s/^NoNewPrivs:\\t//p' /proc/self/status"
)
NO_RIGHTS = ["0000000000000000", "0000000000000000", "1"]


def test_root_becomes_the_agent(engine, agent_image):
    """Root is dropped for the agent, without capabilities, with no way back and with its home."""
    done = engine.run(
        agent_image, "sh", "-c", f"{STATUS}; echo $HOME $USER $LOGNAME $$", flags=ROOT
    )

    assert done.stderr == ""
    assert done.lines == ["1000", "1000", "1000", *NO_RIGHTS, "/home/agent agent agent 1"]


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("nobody", ["65534", "65534", "65534", *NO_RIGHTS, "/nonexistent"]),
        ("1000", ["1000", "1000", "1000", *NO_RIGHTS, "/home/agent"]),
        ("1000:100", ["1000", "100", "100", *NO_RIGHTS, "/home/agent"]),
        ("4242", ["4242", "4242", "4242", *NO_RIGHTS, "/"]),
        ("4242:4243", ["4242", "4243", "4243", *NO_RIGHTS, "/"]),
    ],
)
def test_root_becomes_whom_it_is_told(engine, agent_image, user, expected):
    """AGENT_USER is a name, a uid or uid:gid, with an account or without."""
    done = engine.run(
        agent_image, "sh", "-c", f"{STATUS}; echo $HOME", flags=ROOT, environ={"AGENT_USER": user}
    )

    assert (done.lines, done.stderr) == (expected, "")


def test_a_home_of_ones_own_is_kept(engine, agent_image):
    """HOME is the agent's, unless the container was given another one."""
    done = engine.run(
        agent_image, "sh", "-c", "echo $HOME", flags=ROOT, environ={"HOME": "/data/users/7"}
    )

    assert done.stdout == "/data/users/7\n"


@pytest.mark.parametrize(
    "user", ["0", "root", "0:1000", "00", "nobody-here", "1000:", ":1000", "-x"]
)
def test_a_user_that_is_none_for_agents_is_refused(engine, agent_image, user):
    """Nothing is run as root, nor as somebody who is not there."""
    done = engine.run(agent_image, "id", flags=ROOT, environ={"AGENT_USER": user})
    if user == "1000:":
        assert done.stdout.startswith("uid=1000(agent) gid=1000(agent)")
        return

    assert (done.exit_code, done.stdout) == (2, "")
    [line] = done.stderr.splitlines()
    assert line.startswith("git-credential-relay-entrypoint: AGENT_USER")


def test_nothing_is_run_when_root_cannot_be_dropped(engine, agent_image):
    """Without the right to change the uid the command is not run at all."""
    done = engine.run(agent_image, "id", flags=(*ROOT, "--cap-drop=ALL"))

    assert (done.exit_code, done.stdout) == (2, "")
    assert "neither setpriv nor gosu" in done.stderr


def test_gosu_does_where_there_is_no_setpriv(engine, agent_image):
    """An image with gosu in the place of setpriv drops root too."""
    image = engine.build_from(
        agent_image,
        "USER root\nRUN apt-get update && apt-get install --yes --no-install-recommends gosu"
        " && rm /usr/bin/setpriv\n",
        "gosu",
    )
    done = engine.run(image, "sh", "-c", "id -u; id -G; echo $HOME $$; exit 7", flags=ROOT)

    assert (done.exit_code, done.stderr) == (7, "")
    assert done.lines == ["1000", "1000", "/home/agent 1"]


@pytest.mark.parametrize("flags", [ROOT, ()], ids=["root", "agent"])
def test_exit_code(engine, agent_image, flags):
    """The container ends with the exact exit code of its command."""
    assert engine.run(agent_image, "sh", "-c", "exit 7", flags=flags).exit_code == 7
    assert engine.run(agent_image, "no-such-command", flags=flags).exit_code == 127


@pytest.mark.parametrize("user", ["0", "1000"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_the_command_at_once(engine, agent_image, user, number):
    """The process that was started is the command: a signal to it is one to the command, and its
    status says which one."""
    script = """\
import subprocess, sys
process = subprocess.Popen([sys.argv[1], 'sleep', '60'])
while open(f'/proc/{process.pid}/comm').read() != 'sleep\\n':
    pass
process.send_signal(int(sys.argv[2]))
print(process.wait(10))
"""
    flags = (f"--user={user}", f"--entrypoint={PYTHON}")
    done = engine.run(agent_image, "-c", script, ENTRYPOINT, str(int(number)), flags=flags)

    assert (done.stdout, done.stderr) == (f"{-number}\n", "")


def test_command_that_handles_signals_is_process_one(engine, agent_image):
    """Without an init the command itself is process 1 and decides what a signal means."""
    script = "trap 'exit 42' TERM; touch /tmp/ready; while :; do sleep 0.1; done"
    container = engine.start(agent_image, "sh", "-c", script, flags=ROOT)
    engine.execute(container, "sh", "-c", "until [ -e /tmp/ready ]; do sleep 0.1; done")
    engine.must(["podman", "stop", "--time=20", container])

    assert engine.must(["podman", "wait", container]) == "42\n"


def test_without_a_command(engine, agent_image):
    """An entrypoint with nothing to run says so."""
    done = engine.run(agent_image, flags=(f"--entrypoint={ENTRYPOINT}",))

    assert done.exit_code == 2
    assert "no command given" in done.stderr


def test_container_starts_while_the_api_is_down(engine, wired_image, playground):
    """With nobody at the API's address a container starts at once, and without complaint."""
    environ = {**playground.environ, "CLOUD_API_URL": "http://127.0.0.1:9"}
    done = engine.run(wired_image, "echo", "started", flags=ROOT, environ=environ)

    assert (done.stdout, done.stderr) == ("started\n", "")
