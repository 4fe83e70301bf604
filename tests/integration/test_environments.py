"""The installed program where containers are at their barest: users, file systems, variables."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.fakes.agent import AgentHome, Result, ask, files_with, readable_python
from tests.fakes.api import issues

NOBODY = 65534
TOKEN = "tok-environment"
AS_NOBODY = f"setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups"
NEWER_GIT = os.environ.get("NEWER_GIT", "")

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture
def agent(open_directory, executable, api):
    """An agent whose files belong to whoever will run the helper."""
    api.script(issues(TOKEN))
    root = Path(tempfile.mkdtemp(dir=open_directory))
    root.chmod(0o755)
    agent = AgentHome(root, executable, api.url)
    (root / "request").write_bytes(ask(path="o/r"))
    if os.geteuid() == 0:
        for path in (root, *root.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
    return agent


@pytest.fixture
def nobody_agent(agent):
    """The agent for tests that run it as another user than root."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    if readable_python() is None:
        pytest.skip("no Python here that another user may run")
    if shutil.which("setpriv") is None:
        pytest.skip("no setpriv here")
    return agent


@pytest.fixture
def namespace_agent(nobody_agent):
    """The agent for tests that change mounts, in a namespace of their own."""
    probe = nobody_agent.run(["unshare", "-m", "mount", "-t", "tmpfs", "none", "/dev/shm"])
    if probe.exit_code != 0:
        pytest.skip("no right to make a mount namespace")
    return nobody_agent


def in_namespace(agent: AgentHome, script: str, environ: dict[str, str] | None = None) -> Result:
    """Run a shell script with mounts of its own; nothing of the machine's is changed."""
    (agent.root / "script").write_text(f"set -eu\nmount --make-rprivate /\n{script}")
    variables = {"HELPER": str(agent.launcher), "ROOT": str(agent.root), "AS": AS_NOBODY}
    return agent.run(
        ["unshare", "-m", "sh", str(agent.root / "script")],
        environ={**variables, **(environ or {})},
    )


def bare(agent: AgentHome, *names: str) -> dict[str, str]:
    """The named ones of the agent's variables, and nothing else."""
    return {name: agent.environ[name] for name in names}


def run_bare(command: list[str], environ: dict[str, str]) -> Result:
    """A command with this environment only."""
    done = subprocess.run(
        command, input=ask(path="o/r"), capture_output=True, env=environ, cwd="/", timeout=30,
        check=False,
    )  # fmt: skip
    return Result(done.returncode, done.stdout, done.stderr.decode(), 0)


GITS = [
    pytest.param("git", id="system-git"),
    pytest.param(NEWER_GIT, id="newer-git", marks=pytest.mark.newer_git),
]


@pytest.mark.parametrize("git", GITS)
def test_installed_executable_serves_git(api, agent, git):
    """The executable that pip makes answers git's `credential fill`, cold and warm."""
    command = [git, "-c", f"credential.helper={agent.launcher}", "credential", "fill"]
    cold, warm = agent.run(command, ask()), agent.run(command, ask())

    assert (cold.password, cold.stderr) == (TOKEN, "")
    assert (warm.password, warm.stderr) == (TOKEN, "")
    assert len(api.requests) == 1


def test_installed_executable_has_its_commands(agent):
    """The other commands of the wheel load too."""
    assert agent.helper("--version").stdout.startswith(b"git-credential-relay")
    assert b"Usage:" in agent.helper("--help").stdout
    assert agent.helper("token").stdout == TOKEN.encode() + b"\n"


def test_without_any_other_variable(api, agent):
    """With the three settings, and neither HOME nor PATH, a `get` is answered."""
    environ = bare(agent, "CLOUD_API_URL", "WORKSPACE_ID", "WORKSPACE_TOKEN")
    result = run_bare([str(agent.launcher), "--cache", "off", "get"], environ)

    assert (result.exit_code, result.stderr, result.password) == (0, "", TOKEN)


def test_without_any_variable_at_all(agent):
    """An empty environment is enough where git's configuration names our file."""
    settings = agent.root / "relay.env"
    settings.write_text(
        f"CLOUD_API_URL={agent.environ['CLOUD_API_URL']}\nWORKSPACE_ID=ws-1\n"
        f"WORKSPACE_TOKEN=s\nGIT_CREDENTIAL_RELAY_CACHE_DIR={agent.cache}\n"
    )
    git = shutil.which("git")
    assert git is not None
    helper = f"credential.helper={agent.launcher} --config {settings}"
    result = run_bare([git, "-c", helper, "credential", "fill"], {})

    assert (result.exit_code, result.stderr, result.password) == (0, "", TOKEN)


@pytest.mark.parametrize("home", [None, "", "/nonexistent", "relative", "/dev/null"])
def test_without_a_usable_home(agent, home):
    """A home that is missing, empty or nonsense is neither needed nor complained about."""
    environ = {k: v for k, v in agent.environ.items() if k not in ("HOME", "XDG_CONFIG_HOME")}
    if home is not None:
        environ["HOME"] = home
    result = run_bare([str(agent.launcher), "get"], environ)

    assert (result.exit_code, result.stderr, result.password) == (0, "", TOKEN)


def make_open(cache: Path) -> None:
    """A directory that other users can write to."""
    cache.mkdir()
    cache.chmod(0o777)


def make_link(cache: Path) -> None:
    """A link to a directory elsewhere."""
    cache.with_name("elsewhere").mkdir(mode=0o700)
    cache.symlink_to(cache.with_name("elsewhere"))


def make_file(cache: Path) -> None:
    """Something that is no directory."""
    cache.write_text("")


def make_nothing(cache: Path) -> None:
    """A directory that cannot be made: its parent is a file."""
    cache.parent.write_text("")


@pytest.mark.parametrize(
    ("make", "name"),
    [(make_open, "c"), (make_link, "c"), (make_file, "c"), (make_nothing, "file/c")],
    ids=["open-to-others", "symbolic-link", "file", "impossible"],
)
def test_unusable_cache_is_no_obstacle(api, agent, make, name):
    """A `get` is served without a word, and nothing is kept where others could read it."""
    cache = agent.root / name
    make(cache)
    if os.geteuid() == 0 and cache.exists():
        os.chown(cache, 0, 0, follow_symlinks=False)
    results = [
        agent.get("o/r", environ={"GIT_CREDENTIAL_RELAY_CACHE_DIR": str(cache)}) for _ in range(2)
    ]

    assert [(r.exit_code, r.stderr, r.password) for r in results] == [(0, "", TOKEN)] * 2
    assert len(api.requests) == 2
    assert files_with(TOKEN, agent.root) == []


@root_only
def test_cache_of_another_user_is_not_believed(api, agent):
    """Records in a directory that belongs to somebody else are neither read nor written."""
    agent.get("o/r")
    planted = {p.name: p.read_bytes() for p in agent.cache.iterdir()}
    for path in (agent.cache, *agent.cache.iterdir()):
        os.chown(path, NOBODY, NOBODY)
    api.script(issues("tok-ours"))
    result = agent.get("o/r")

    assert (result.exit_code, result.stderr, result.password) == (0, "", "tok-ours")
    assert {p.name: p.read_bytes() for p in agent.cache.iterdir()} == planted


def test_record_of_another_user_or_mode_is_not_believed(api, agent):
    """A record that others can read or have linked is asked for anew and replaced."""
    agent.get("o/r")
    [record] = [p for p in agent.cache.iterdir() if "." not in p.name]
    record.chmod(0o644)
    api.script(issues("tok-2"))
    assert agent.get("o/r").password == "tok-2"
    assert stat.S_IMODE(record.stat().st_mode) == 0o600

    record.rename(record.with_name("moved"))
    record.symlink_to("moved")
    api.script(issues("tok-3"))
    assert agent.get("o/r").password == "tok-3"
    assert not record.is_symlink()


def test_as_another_user(api, nobody_agent):
    """An ordinary user without rights is served, with a cache that belongs to that user."""
    command = [*AS_NOBODY.split(), str(nobody_agent.launcher), "get"]
    results = [nobody_agent.run(command, ask(path="o/r")) for _ in range(2)]

    assert [(r.exit_code, r.stderr, r.password) for r in results] == [(0, "", TOKEN)] * 2
    assert len(api.requests) == 1
    assert {p.stat().st_uid for p in nobody_agent.cache.iterdir()} == {NOBODY}


TWICE = '$AS "$HELPER" get <"$ROOT/request"; $AS "$HELPER" get <"$ROOT/request"\n'
LIST = "find /dev/shm /run -type f -printf '%U %m %p\\n' | grep -v '[.]lock$'\n"
READ_ONLY = """\
for mount in / "$(stat -c %m "$ROOT")" "$(stat -c %m /tmp)"; do
    mount -o bind,remount,ro "$mount"
done
if $AS touch "$ROOT/x" /tmp/x "$HOME/x" 2>/dev/null; then exit 99; fi
"""
UNSET = "unset XDG_RUNTIME_DIR GIT_CREDENTIAL_RELAY_CACHE_DIR\n"
SHM = "mount -t tmpfs -o mode=1777 none /dev/shm\n"
RUN = f"mount -t tmpfs none /run; mkdir -p /run/user/{NOBODY}; chown {NOBODY} /run/user/{NOBODY}\n"
NO_RUN = "mount -t tmpfs none /run\n"


@pytest.mark.parametrize(
    ("script", "place"),
    [
        pytest.param(UNSET + NO_RUN + SHM, f"/dev/shm/git-credential-relay-{NOBODY}", id="dev-shm"),
        pytest.param(UNSET + RUN + SHM, f"/run/user/{NOBODY}/git-credential-relay", id="run-user"),
        pytest.param(
            UNSET + RUN + SHM + f"mkdir -m 700 /dev/shm/x; chown {NOBODY} /dev/shm/x\n"
            "export XDG_RUNTIME_DIR=/dev/shm/x\n",
            "/dev/shm/x/git-credential-relay",
            id="xdg-runtime-dir",
        ),
        pytest.param(
            UNSET + NO_RUN + SHM + 'export XDG_RUNTIME_DIR="$ROOT/runtime"\n',
            f"/dev/shm/git-credential-relay-{NOBODY}",
            id="xdg-runtime-dir-on-a-disk",
        ),
        pytest.param(
            UNSET + NO_RUN + SHM + READ_ONLY + "unset HOME TMPDIR XDG_CONFIG_HOME\n",
            f"/dev/shm/git-credential-relay-{NOBODY}",
            id="read-only-root-file-system-without-a-home",
        ),
    ],
)
def test_where_the_cache_goes(api, namespace_agent, script, place):
    """The cache is in the first memory-backed place there is, and serves the second `get`."""
    if "runtime" in script and is_on_tmpfs(namespace_agent.root):
        pytest.skip("the temporary directory is no disk here")
    result = in_namespace(namespace_agent, script + TWICE + LIST)
    *answers, record = result.stdout.decode().splitlines()

    assert (result.exit_code, result.stderr) == (0, "")
    assert answers.count(f"password={TOKEN}") == 2
    assert len(api.requests) == 1
    assert record.startswith(f"{NOBODY} 600 {place}/")
    assert files_with(TOKEN, namespace_agent.root) == []


@pytest.mark.parametrize(
    "script",
    [
        pytest.param("mount -t tmpfs -o ro none /dev/shm\n" + READ_ONLY, id="all-read-only"),
        pytest.param("mount -t tmpfs -o mode=755 none /dev/shm\n", id="not-ours"),
        pytest.param("mount -t tmpfs -o mode=777 none /dev/shm\n", id="open-and-not-sticky"),
        pytest.param(
            SHM + f"ln -s /tmp /dev/shm/git-credential-relay-{NOBODY}\n", id="squatted-by-a-link"
        ),
        pytest.param(
            SHM + f"mkdir -m 777 /dev/shm/git-credential-relay-{NOBODY}\n",
            id="squatted-by-a-directory",
        ),
        pytest.param(
            "mount -t tmpfs -o mode=1777,nr_inodes=2 none /dev/shm\n", id="no-room-for-a-record"
        ),
    ],
)
def test_no_place_for_a_cache(api, namespace_agent, script):
    """Without any place to keep a token, each `get` is served by the API, without a word."""
    result = in_namespace(namespace_agent, UNSET + NO_RUN + script + TWICE)

    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.decode().splitlines().count(f"password={TOKEN}") == 2
    assert len(api.requests) == 2
    assert files_with(TOKEN, namespace_agent.root) == []


def test_full_file_system_keeps_no_half_record(api, namespace_agent):
    """A record that does not fit is not kept at all, and both `get`s are served."""
    fill = "dd if=/dev/zero of=/dev/shm/full bs=4k count=64 2>/dev/null || true\n"
    script = UNSET + NO_RUN + "mount -t tmpfs -o mode=1777,size=64k none /dev/shm\n" + fill
    result = in_namespace(namespace_agent, script + TWICE + "cat /dev/shm/git*/[a-z0-9]* || true\n")

    assert (result.exit_code, result.stderr.count("Traceback")) == (0, 0)
    assert result.stdout.decode().splitlines().count(f"password={TOKEN}") == 2
    assert len(api.requests) == 2


@pytest.mark.parametrize("git", GITS)
def test_settings_of_the_machine_reach_everybody(api, namespace_agent, git):
    """With an empty environment git and helper find the machine's own relay.env in /run."""
    git = shutil.which(git)
    script = (
        NO_RUN
        + SHM
        + "mkdir /run/git-credential-relay\n"
        + 'printf "%s\\n" "CLOUD_API_URL=$CLOUD_API_URL" WORKSPACE_ID=ws-run '
        + f'"WORKSPACE_TOKEN=s" >/run/git-credential-relay/relay.env\n{READ_ONLY}'
        + f'$AS env -i {git} -c "credential.helper=$HELPER" credential fill <"$ROOT/request"\n'
    )
    result = in_namespace(namespace_agent, script)
    [request] = api.requests

    assert (result.exit_code, result.stderr, result.password) == (0, "", TOKEN)
    assert request.fields["workspaceId"] == "ws-run"


def is_on_tmpfs(path: Path) -> bool:
    """Whether a path is memory-backed."""
    done = subprocess.run(
        ["stat", "-f", "-c", "%T", str(path)], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() in ("tmpfs", "ramfs")
