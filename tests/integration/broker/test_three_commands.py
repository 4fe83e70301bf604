"""The broker in three commands, as the README has them: started, a workspace, a push."""

import os
import socket
import subprocess
from pathlib import Path

import pytest

from git_credential_relay.main import main
from tests.fakes.program import EXECUTABLE

SERVE = "git-credential-relay broker serve --playground play &"
CREATE = """\
git-credential-relay broker workspace create http://127.0.0.1:8751/acme/app.git \\
  --config play/broker.toml --write-env play/relay.env"""
PUSH = """\
export GIT_CREDENTIAL_RELAY_CONFIG=$PWD/play/relay.env && \\
  git clone -c credential.helper= -c credential.helper=relay -c credential.useHttpPath=true \\
    -c user.name=agent -c user.email=agent@example.com \\
    http://127.0.0.1:8751/acme/app.git play/app && \\
  git -C play/app commit --allow-empty --message hello && git -C play/app push"""
SCRIPT = f"""\
set -eu
exec 2>messages
{SERVE}
trap "kill $! && wait" EXIT
tries=0
until grep -q "listening on http://127.0.0.1:8750" messages; do
    tries=$((tries + 1)) && test $tries -lt 200 && sleep 0.1
done
{CREATE}
{PUSH}
git -C play/app rev-parse HEAD
git -C play/app ls-remote origin refs/heads/main
"""
README = Path(__file__).parents[3] / "README.md"
# The ports in the commands are fixed: nobody else is in a network of one's own.
ALONE = ("unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")


def test_three_commands_on_embedded_defaults(tmp_path):
    """Broker, workspace and a real push through the helper, from nothing but the package."""
    done = run_script(tmp_path, SCRIPT)
    messages = (tmp_path / "messages").read_text()

    assert done.returncode == 0, messages
    head, remote = done.stdout.splitlines()[-2:]
    assert remote == f"{head}\trefs/heads/main"
    assert '"verdict":"vended"' in (tmp_path / "play" / "audit.ndjson").read_text()
    assert not [path for path in files_of(tmp_path) if b"ghs_" in path.read_bytes()]
    modes = {path.stat().st_mode & 0o077 for path in (tmp_path / "play").glob("*")}
    assert (tmp_path / "play").stat().st_mode & 0o077 == 0
    assert modes <= {0, (tmp_path / "play" / "app").stat().st_mode & 0o077}


def test_readme_has_these_commands():
    """What is tested here is what people are told to type."""
    text = README.read_text()

    assert SERVE in text
    assert CREATE in text
    assert PUSH in text


def test_playground_brings_its_own_configuration(tmp_path, capsys):
    """--config beside --playground is refused: it would not be clear which one is served."""
    config = tmp_path / "broker.toml"
    code = main(
        ["broker", "serve", "--config", str(config), "--playground", str(tmp_path / "play")]
    )

    assert code == 2
    assert "[usage]" in capsys.readouterr().err
    assert not (tmp_path / "play").exists()


def run_script(directory: Path, script: str) -> subprocess.CompletedProcess[str]:
    """Run a script as somebody with an empty home does."""
    for name in ("home", "run"):
        (directory / name).mkdir(mode=0o700, exist_ok=True)
    environ = {
        "PATH": f"{EXECUTABLE.parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(directory / "home"),
        "XDG_RUNTIME_DIR": str(directory / "run"),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
    }
    return subprocess.run(
        [*network(), "sh", "-c", script],
        cwd=directory,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        timeout=50,
        check=False,
    )


def network() -> tuple[str, ...]:
    """What puts a command into a network of its own; nothing, where that is not possible."""
    try:
        tried = subprocess.run([*ALONE, "true"], capture_output=True, check=False)
    except FileNotFoundError:
        tried = None
    if tried is not None and tried.returncode == 0:
        return ALONE
    for port in (8750, 8751):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                pytest.skip(f"somebody listens at port {port} of this machine")
    return ()


def files_of(directory: Path) -> list[Path]:
    """Every plain file below a directory, but the relay's cache."""
    cache = directory / "run"
    return [p for p in directory.rglob("*") if p.is_file() and cache not in p.parents]
