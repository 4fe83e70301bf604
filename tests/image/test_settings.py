"""What the entrypoint does with the relay's settings, and with the secret among them."""

from __future__ import annotations

import os

import pytest

SECRET = "workspace-secret-c4n4ry"
PYTHON = "/opt/git-credential-relay/bin/python"
RELAY = "/usr/local/bin/git-credential-relay"
RELAY_ENV = "/run/git-credential-relay/relay.env"
ENTRYPOINT = "/opt/git-credential-relay/bin/git-credential-relay-entrypoint"
ROOT = ("--user=0",)


def test_secret_leaves_the_environment(engine, agent_image):
    """After a start as root the secret is in a file that only root and the agent can read, in
    memory, and in nobody's environment."""
    script = (
        "tr '\\0' '\\n' </proc/1/environ; env; echo; git-credential-relay config | grep TOKEN=;"
        f" stat -L -c '%u %g %a' {RELAY_ENV}; stat -c '%u %g %a' /run/git-credential-relay;"
        f' df --output=fstype "$(readlink -f {RELAY_ENV})" | tail -n 1; cat {RELAY_ENV}'
    )
    environ = {"CLOUD_API_URL": "http://127.0.0.1:9", "WORKSPACE_TOKEN": SECRET}
    done = engine.run(agent_image, "sh", "-c", script, flags=ROOT, environ=environ)
    variables, rest = done.stdout.split("\n\n", 1)

    assert (done.exit_code, done.stderr) == (0, "")
    assert SECRET not in variables
    assert "CLOUD_API_URL=http://127.0.0.1:9" in variables
    assert f"WORKSPACE_TOKEN=********  # {RELAY_ENV}:" in rest
    assert rest.splitlines()[1:4] == ["0 1000 640", "0 1000 750", "tmpfs"]
    assert f'WORKSPACE_TOKEN="{SECRET}"' in rest


def test_other_users_cannot_read_the_settings(engine, agent_image):
    """Somebody who is neither root nor the agent reads nothing, and git goes on without a word."""
    container = engine.start(
        agent_image, "sleep", "60", flags=ROOT, environ={"WORKSPACE_TOKEN": SECRET}
    )
    read = f"cat {RELAY_ENV} /dev/shm/git-credential-relay.*; env -i {RELAY} config"
    done = engine.execute(container, "env", "-i", "bash", "-lc", read, flags=("--user=4242:4242",))

    assert SECRET not in done.stdout + done.stderr
    assert "# CLOUD_API_URL is not set" in done.stdout


def test_agent_keeps_its_settings_for_itself(engine, agent_image):
    """Started as the agent, the file is there for scrubbed environments, and the agent's alone."""
    script = f"echo $WORKSPACE_TOKEN; stat -L -c '%u %a' {RELAY_ENV}; env -i {RELAY} config"
    done = engine.run(
        agent_image, "sh", "-c", script, environ={"WORKSPACE_TOKEN": SECRET, "WORKSPACE_ID": "w"}
    )

    assert done.lines[:2] == [SECRET, "1000 600"]
    assert f"WORKSPACE_ID=w  # {RELAY_ENV}:" in done.stdout


@pytest.mark.parametrize("user", ["0", "1000", "12345:12345"])
def test_read_only_run_costs_a_warning_at_most(engine, agent_image, user):
    """Where no file can be written the container starts, and the variables stay."""
    flags = (f"--user={user}", "--read-only", "--read-only-tmpfs=false")
    done = engine.run(
        agent_image, "sh", "-c", "echo $WORKSPACE_TOKEN", flags=flags,
        environ={"WORKSPACE_TOKEN": SECRET},
    )  # fmt: skip

    assert (done.exit_code, done.stdout) == (0, f"{SECRET}\n")
    assert len(done.stderr.splitlines()) == (1 if user == "0" else 0)
    assert SECRET not in done.stderr


HOSTILE = {
    "WORKSPACE_ID": "say \"hi\"; $(id) `id` \\ # = 'x'",
    "GITLAB_HOST": '"quoted.example"',
    "GH_HOST": "'single.example'",
    "NO_PROXY": "  spaces around  ",
}


def test_values_arrive_as_they_are(engine, agent_image):
    """Quotes, blanks, backslashes and what a shell would expand come out of the file unchanged."""
    script = """\
import sys
sys.path[:0] = sys.argv[1:]
from git_credential_relay.env_file import read_env_file
for name, value, origin in read_env_file('/run/git-credential-relay/relay.env'):
    print(f'{name}={value}|')
"""
    done = engine.run(agent_image, PYTHON, "-I", "-c", script, flags=ROOT, environ=HOSTILE)

    assert (done.exit_code, done.stderr) == (0, "")
    assert sorted(done.lines) == sorted(f"{name}={value}|" for name, value in HOSTILE.items())


@pytest.mark.parametrize(
    "value",
    [
        "x\nCLOUD_API_URL=https://evil.example",
        'x"\nCLOUD_API_URL=https://evil.example\n"',
        "x\ry",
        "é",
    ],
    ids=["newline", "quote-and-newline", "carriage-return", "not-ascii"],
)
def test_value_cannot_become_a_second_setting(engine, agent_image, value):
    """What is not one line of plain text stays out of the file, and stays in the environment."""
    script = f'cat {RELAY_ENV}; test "$WORKSPACE_ID" = "$0"'
    environ = {"WORKSPACE_ID": value, "WORKSPACE_TOKEN": SECRET}
    done = engine.run(agent_image, "sh", "-c", script, value, flags=ROOT, environ=environ)

    assert done.exit_code == 0
    assert done.stdout == f'\nWORKSPACE_TOKEN="{SECRET}"\n'
    assert "WORKSPACE_ID is not plain text" in done.stderr


def test_secret_with_a_newline_at_its_end(engine, agent_image):
    """A secret that was read from a file with its newline is taken without it."""
    done = engine.run(
        agent_image, "cat", RELAY_ENV, flags=ROOT, environ={"WORKSPACE_TOKEN": f"{SECRET}\n"}
    )

    assert done.stdout == f'\nWORKSPACE_TOKEN="{SECRET}"\n'


@pytest.mark.parametrize(
    ("mode", "line"),
    [(0o400, f'WORKSPACE_TOKEN="{SECRET}"'), (0o444, 'WORKSPACE_TOKEN_FILE="/secret"')],
    ids=["for-root-alone", "for-everybody"],
)
def test_secret_file(engine, agent_image, tmp_path, mode, line):
    """A file that the agent can read is named to it, so that it may change; of one for root alone
    the agent gets what it says."""
    secret = tmp_path / "secret"
    secret.write_text(f"{SECRET}\n")
    secret.chmod(mode)
    script = f"cat {RELAY_ENV}; env"
    done = engine.run(
        agent_image, "sh", "-c", script, flags=(*ROOT, f"--volume={secret}:/secret:ro"),
        environ={"WORKSPACE_TOKEN_FILE": "/secret"},
    )  # fmt: skip

    assert (done.exit_code, done.stderr) == (0, "")
    assert done.lines[1] == line
    assert "\nWORKSPACE_TOKEN_FILE=/secret" not in done.stdout


def test_secret_file_that_is_a_pipe_is_not_waited_for(engine, agent_image, tmp_path):
    """A pipe that nobody writes to does not keep the container from starting."""
    os.mkfifo(tmp_path / "pipe", 0o600)
    done = engine.run(
        agent_image, "echo", "started", flags=(*ROOT, f"--volume={tmp_path}/pipe:/secret"),
        environ={"WORKSPACE_TOKEN_FILE": "/secret"},
    )  # fmt: skip

    assert (done.stdout, done.stderr) == ("started\n", "")


def test_file_of_the_operator_wins(engine, agent_image, tmp_path):
    """A relay.env that somebody put there is neither replaced nor added to."""
    theirs = tmp_path / "theirs"
    theirs.mkdir(mode=0o755)
    (theirs / "relay.env").write_text("CLOUD_API_URL=https://theirs.example\n")
    script = f"echo $WORKSPACE_TOKEN; cat {RELAY_ENV}"
    flags = (*ROOT, f"--volume={theirs}:/run/git-credential-relay")
    environ = {"WORKSPACE_TOKEN": SECRET}
    done = engine.run(agent_image, "sh", "-c", script, flags=flags, environ=environ)

    assert done.lines == [SECRET, "CLOUD_API_URL=https://theirs.example"]
    assert len(done.stderr.splitlines()) == 1
    assert [path.name for path in theirs.iterdir()] == ["relay.env"]


def test_settings_are_there_again_after_a_restart(engine, agent_image):
    """A container that is stopped and started again has its settings, and its secret in memory."""
    container = engine.start(
        agent_image, "sleep", "60", flags=ROOT, environ={"WORKSPACE_TOKEN": SECRET}
    )
    engine.must(["podman", "restart", "--time=0", container])
    read = ["env", "-i", "cat", RELAY_ENV]
    done = engine.execute(container, *read, flags=("--user=agent",))

    assert done.stdout == f'\nWORKSPACE_TOKEN="{SECRET}"\n'
    assert SECRET not in engine.execute(container, "cat", "/proc/1/environ").stdout


def test_each_start_leaves_one_secret(engine, agent_image):
    """What an earlier start put into memory is gone once the next one stands."""
    container = engine.start(
        agent_image, "sleep", "60", flags=ROOT, environ={"WORKSPACE_TOKEN": SECRET}
    )
    for _ in range(2):
        engine.execute(container, ENTRYPOINT, "true", flags=ROOT)
    done = engine.execute(
        container, "sh", "-c", f"echo /dev/shm/git-cred*; readlink {RELAY_ENV}", flags=ROOT
    )
    [found, current] = done.lines

    assert found == current


EVIL = "CLOUD_API_URL=https://evil.example"


def test_file_that_took_the_place_of_ours_is_not_believed(engine, agent_image):
    """When the memory is new, as after a restart, another user can make what our link names: root
    refuses to read it, and the next start makes a file of its own."""
    container = engine.start(
        agent_image, "sleep", "60", flags=ROOT, environ={"WORKSPACE_TOKEN": SECRET}
    )
    target = engine.execute(container, "readlink", RELAY_ENV, flags=ROOT).stdout.strip()
    engine.execute(container, "rm", target, flags=ROOT)
    engine.execute(container, "sh", "-c", f"echo {EVIL} >{target}", flags=("--user=4242:4242",))
    refused = engine.execute(container, RELAY, "config", flags=ROOT)
    engine.execute(container, ENTRYPOINT, "true", flags=ROOT)
    done = engine.execute(container, "cat", RELAY_ENV, flags=ROOT)

    assert refused.exit_code != 0
    assert "belongs to uid 4242" in refused.stderr
    assert done.stdout == f'\nWORKSPACE_TOKEN="{SECRET}"\n'


@pytest.mark.parametrize(
    "plant",
    [
        f"echo {EVIL} >{RELAY_ENV}",
        f"mkdir {RELAY_ENV} && touch {RELAY_ENV}/file",
        f"echo {EVIL} >/home/agent/mine && ln -s /home/agent/mine {RELAY_ENV}",
        f"ln -s /etc/passwd {RELAY_ENV}",
    ],
    ids=["file", "directory", "link", "link-to-a-file-of-roots"],
)
def test_what_the_agent_left_there_is_not_believed(engine, agent_image, plant, request):
    """A relay.env of the agent's keeps neither the secret in the environment nor the directory the
    agent's."""
    tag = f"left-{request.node.callspec.id}"
    image = engine.build_from(agent_image, f"RUN {plant}\nUSER 0\n", tag)
    script = (
        f"env | grep TOKEN; cat {RELAY_ENV}; stat -c '%u %g %a' /run/git-credential-relay;"
        f" touch /run/git-credential-relay/x 2>&-; ls {RELAY_ENV}"
    )
    done = engine.run(image, "sh", "-c", script, environ={"WORKSPACE_TOKEN": SECRET})

    assert done.stderr == ""
    assert done.lines == ["", f'WORKSPACE_TOKEN="{SECRET}"', "0 1000 750", RELAY_ENV]


def test_file_of_roots_wins_in_a_directory_of_the_agents(engine, agent_image):
    """A relay.env that an image brings stays, and out of the agent's reach."""
    image = engine.build_from(
        agent_image, f"COPY relay.env {RELAY_ENV}\nUSER 0\n", "brought", {"relay.env": b"GH_HOST=x"}
    )
    script = f"cat {RELAY_ENV}; mv {RELAY_ENV} /tmp/ || stat -c %u /run/git-credential-relay"
    done = engine.run(image, "sh", "-c", script, environ={"WORKSPACE_TOKEN": SECRET})

    assert done.stdout == "GH_HOST=x0\n"


def test_root_does_not_follow_the_agents_settings(engine, agent_image):
    """Where the agent started the container, the file is its own: root's program and doctor refuse
    to read it, and say whose it is."""
    container = engine.start(agent_image, "sleep", "60", environ={"WORKSPACE_ID": "w"})
    as_root = ("--user=0", "--env=WORKSPACE_ID=")
    config = engine.execute(container, RELAY, "config", flags=as_root)
    doctor = engine.execute(container, RELAY, "doctor", "--offline", flags=as_root)
    own = engine.execute(container, "env", "-i", RELAY, "config")

    assert config.exit_code != 0
    assert "[foreign-owner]" in config.stderr
    assert doctor.exit_code != 0
    assert f"{RELAY_ENV} belongs to uid 1000" in doctor.stdout
    assert f"WORKSPACE_ID=w  # {RELAY_ENV}:" in own.stdout


def test_secret_file_by_a_link_of_the_agents_is_not_copied(engine, agent_image):
    """The agent cannot have root read a file to it by a link where its own secret was."""
    image = engine.build_from(
        agent_image,
        "USER 0\nRUN echo other-secret >/etc/other && chmod 600 /etc/other\n"
        "USER 1000\nRUN ln -s /etc/other /home/agent/secret\nUSER 0\n",
        "led-astray",
    )
    environ = {"WORKSPACE_TOKEN_FILE": "/home/agent/secret"}
    done = engine.run(image, "cat", RELAY_ENV, environ=environ)

    assert done.stdout == '\nWORKSPACE_TOKEN_FILE="/home/agent/secret"\n'


def test_settings_of_ones_own_are_left_alone(engine, agent_image, tmp_path):
    """Who names a file of their own gets it, and their variables stay where they are."""
    script = f"echo $WORKSPACE_TOKEN; ls {RELAY_ENV}"
    environ = {"GIT_CREDENTIAL_RELAY_CONFIG": "/etc/my.env", "WORKSPACE_TOKEN": SECRET}
    done = engine.run(agent_image, "sh", "-c", script, flags=ROOT, environ=environ)

    assert done.stdout == f"{SECRET}\n"


@pytest.mark.parametrize("target", ["/etc/precious", "/etc/new", "/dev/shm/git-credential-relay.x"])
def test_link_that_the_agent_planted_is_not_followed(engine, agent_image, target):
    """Where root is to write, a link makes it neither write to, give away nor create another
    file."""
    image = engine.build_from(
        agent_image,
        "USER root\nRUN echo precious >/etc/precious && chmod 600 /etc/precious\n"
        f"USER 1000\nRUN ln -s {target} {RELAY_ENV}\nUSER 0\n",
        f"planted{target.replace('/', '-')}",
    )
    script = "stat -c '%u %g %a %s' /etc/precious; ls /etc/new /dev/shm/git-credential-relay.x"
    done = engine.run(image, "sh", "-c", script, environ={"WORKSPACE_TOKEN": SECRET})

    assert done.stdout == "0 0 600 9\n"
