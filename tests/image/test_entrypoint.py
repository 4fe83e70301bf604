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
    "user", ["0", "root", "0:1000", "00", "1000:0", "nobody-here", "1000:", ":1000", "-x"]
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


# setpriv takes -1, which is 2^32 - 1, for "leave it as it is", and counts from 0 again at 2^32.
NOT_AS_ASKED = ["4294967295", "4294967295:4294967295", "1000:4294967295", "1000:4294967296"]


@pytest.mark.parametrize("user", NOT_AS_ASKED)
def test_a_number_that_leaves_root_as_it_is_runs_nothing(engine, agent_image, user):
    """What is run has the very uid and gid that were asked for, or is not run."""
    done = engine.run(agent_image, "id", flags=ROOT, environ={"AGENT_USER": user})

    assert (done.exit_code, done.stdout) == (2, "")
    assert "neither setpriv nor gosu" in done.stderr


TRAP = """\
#!/bin/sh
[ "$(/usr/bin/id -u)" != 0 ] || echo "$0" >>/tmp/ran-as-root
PATH=${PATH#*:} exec "${0##*/}" "$@"
"""
PLANTED = "cat chmod chown env getent gosu id install ln mkdir mktemp mv namei readlink rm sed \
setpriv sh stat test"


@pytest.fixture(scope="module")
def trapped_image(engine, agent_image):
    """An image whose PATH begins with programs that the agent made."""
    plant = (
        "RUN mkdir -p ~/.local/bin && cd ~/.local/bin && chmod 755 /tmp/trap &&"
        f" for name in mine {PLANTED}; do cp /tmp/trap $name; done &&"
        " printf '#!/bin/sh\\necho $PATH\\n' >mine\n"
    )
    return engine.build_from(
        agent_image,
        f"COPY --chown=1000 trap /tmp/trap\n{plant}ENV PATH=/home/agent/.local/bin:$PATH\n",
        "trapped",
        {"trap": TRAP.encode()},
    )


def test_root_runs_no_program_of_the_agents(engine, trapped_image):
    """What the agent put in front on the image's PATH is found by the command, once it is the
    agent, and never by root."""
    environ = {"WORKSPACE_TOKEN": "secret"}
    mine = engine.run(trapped_image, "mine", flags=ROOT, environ=environ)
    script = "/bin/ls /tmp/ran-as-root; /usr/bin/id -u"
    done = engine.run(trapped_image, "/bin/sh", "-c", script, flags=ROOT, environ=environ)

    assert (mine.exit_code, mine.stderr) == (0, "")
    assert mine.stdout.startswith("/home/agent/.local/bin:/usr/local/")
    assert done.lines == ["1000"]


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
    for user in NOT_AS_ASKED:
        refused = engine.run(image, "id", flags=ROOT, environ={"AGENT_USER": user})
        assert (refused.exit_code, refused.stdout) == (2, "")


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
