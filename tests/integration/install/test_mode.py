"""`install --mode sidecar` on scratch root file systems: what it writes, and the way back."""

from __future__ import annotations

import stat

import pytest
import yaml

from git_credential_relay.executables import is_launcher
from tests.fakes.installation import ALL_OPTIONS, BEFORE, HELPER, install, tree, uninstall, values
from tests.fakes.program import run_program

DEFAULT = "cache --socket=/run/git-credential-relay/git.sock"
SIDECAR = ["--mode", "sidecar"]
SOCKETS = [*SIDECAR, "--socket", "/run/s/git.sock", "--gh-socket", "/run/s/gh.sock"]
BIN = "usr/local/bin"


def relay_env(root):
    """The settings in /etc/git-credential-relay/relay.env."""
    path = root / "etc" / "git-credential-relay" / "relay.env"
    lines = path.read_text().splitlines() if path.exists() else []
    return dict(line.split("=", 1) for line in lines if "=" in line)


def test_git_asks_the_sidecar_and_then_us(root):
    """Per host: inherited helpers off, git's own client, the launcher that says why, the path."""
    install(root, *SIDECAR, "--host", "git.example")
    file = root / "etc" / "gitconfig"

    assert values(file, "credential.helper") == [DEFAULT, HELPER]
    for host in ("github.com", "gitlab.com", "git.example"):
        assert values(file, f"credential.https://{host}.helper") == ["", DEFAULT, HELPER]
        assert values(file, f"credential.https://{host}.useHttpPath") == ["true"]
    assert values(file, "http.maxRetries") == ["1"]
    assert relay_env(root) == {
        "GIT_CREDENTIAL_RELAY_HOSTS": "github=https://git.example",
        "GIT_CREDENTIAL_RELAY_SOCKET": "/run/git-credential-relay/git.sock",
    }


def test_without_python_the_launchers_are_shell_programs(root):
    """In a root that the interpreter is not in, unless somebody names one that is."""
    told = install(root, *SIDECAR, "--gh")
    programs = sorted((root / BIN).iterdir())

    assert [path.name for path in programs] == ["gh", "git-credential-relay"]
    assert "no Python is needed" in told
    for path in programs:
        assert path.read_text().startswith("#!/bin/sh\n")
        assert is_launcher(str(path))
        assert stat.S_IMODE(path.stat().st_mode) == 0o755

    install(root, "--python", "/opt/relay/bin/python")
    first_lines = {path.name: path.read_text().split("\n")[0] for path in (root / BIN).iterdir()}
    assert first_lines == {
        "gh": "#!/bin/sh",  # it would take as long to start as gh itself
        "gh-credential-relay": "#!/opt/relay/bin/python -I",
        "git-credential-relay": "#!/opt/relay/bin/python -I",
    }


def test_gh_is_led_to_its_socket(root):
    """With --gh-socket gh has settings that everybody may read and nobody else may write."""
    install(root, *SOCKETS, "--gh", "--host", "ghe.example", "--host", "gitlab=gitlab.example")
    directory = root / "etc" / "git-credential-relay" / "gh"
    config = yaml.safe_load((directory / "config.yml").read_text())
    hosts = yaml.safe_load((directory / "hosts.yml").read_text())

    assert config["http_unix_socket"] == "/run/s/gh.sock"
    assert set(hosts) == {"github.com", "ghe.example"}
    assert relay_env(root)["GIT_CREDENTIAL_RELAY_GH_SOCKET"] == "/run/s/gh.sock"
    assert stat.S_IMODE(directory.stat().st_mode) == 0o755
    for path in directory.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_a_derived_image_keeps_the_mode_and_the_sockets(root):
    """What an earlier install was told stays until somebody says something else."""
    install(root, *SOCKETS, "--gh")
    install(root, "--host", "one.example")
    file = root / "etc" / "gitconfig"
    expected = ["", "cache --socket=/run/s/git.sock", HELPER]
    assert values(file, "credential.https://one.example.helper") == expected
    assert relay_env(root)["GIT_CREDENTIAL_RELAY_GH_SOCKET"] == "/run/s/gh.sock"
    install(root, "--socket", "/run/t/git.sock", "--gh-socket", "")

    assert values(file, "credential.helper") == ["cache --socket=/run/t/git.sock", HELPER]
    assert relay_env(root)["GIT_CREDENTIAL_RELAY_SOCKET"] == "/run/t/git.sock"
    assert "GIT_CREDENTIAL_RELAY_GH_SOCKET" not in relay_env(root)
    assert not (root / "etc" / "git-credential-relay" / "gh" / "config.yml").exists()


def test_uninstall_restores_exactly_what_was_there(root):
    """After an install, and one more that changes nothing, every file is as it was."""
    busy = BEFORE["foreign-helpers"] | BEFORE["relay-env"] | BEFORE["programs-in-our-place"]
    for name, content in busy.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        path.chmod(0o640 if name.endswith("relay.env") else 0o755)
    original = tree(root)
    install(root, *ALL_OPTIONS, *SOCKETS)
    once = tree(root)
    assert install(root, *ALL_OPTIONS, *SOCKETS).startswith("nothing to change\n")
    assert tree(root) == once
    uninstall(root)

    assert tree(root) == original


def test_settings_that_the_agents_cannot_read_are_told_of(root):
    """With the sidecar's secrets in it relay.env would be closed to those who ask the sidecar."""
    path = root / "etc" / "git-credential-relay" / "relay.env"
    path.parent.mkdir()
    path.write_text("WORKSPACE_TOKEN=s3cret\n")
    path.chmod(0o600)
    told = install(root, *SIDECAR, "--python", "/usr/bin/python3")

    assert "relay.env is closed to other users" in told
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_switching_modes_is_clean(root):
    """There and back again the root is byte for byte what the last mode alone would make it."""

    def without_record():
        return {path: seen for path, seen in tree(root).items() if not path.startswith("var")}

    original = tree(root)
    install(root, "--gh", "--python", "/usr/bin/python3")
    direct = without_record()
    install(root, *SOCKETS, "--gh")
    sidecar = without_record()
    assert direct != sidecar
    install(root, "--mode", "direct", "--python", "/usr/bin/python3")
    assert without_record() == direct
    install(root, *SOCKETS)
    assert without_record() == sidecar
    uninstall(root)

    assert tree(root) == original


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--socket", "/run/x.sock"], "are the sidecar's"),
        (["--mode", "direct", "--gh-socket", "/run/x.sock"], "are the sidecar's"),
        ([*SIDECAR, "--socket", ""], "--socket must be an absolute path"),
        ([*SIDECAR, "--gh-socket", "/run/$(id)"], "--gh-socket must be a path without"),
    ],
)
def test_what_cannot_be_wired_is_refused(root, arguments, words):
    """Before anything has been changed, with exit code 2 and a hint."""
    original = tree(root)
    done = run_program("install", "--root", str(root), *arguments)

    assert done.returncode == 2
    assert words in done.stderr
    assert "[usage] (hint: " in done.stderr
    assert tree(root) == original
