"""Fixtures shared by all tests."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

from git_credential_relay.config import SYSTEM_FILES

# A slow machine is no failure.
settings.register_profile("relay", deadline=None)
settings.load_profile("relay")

_REMOVED_PREFIXES = (
    "AGENT_RELAY_",
    "FORGE_",
    "GH_",
    "GITHUB_",
    "GITLAB_",
    "GIT_",
    "SSH_ASKPASS",
    "WORKSPACE_",
    "XDG_",
)


def pytest_configure() -> None:
    """Where this machine is an agent's own, the tests would use its workspace's secret."""
    for path in SYSTEM_FILES:
        if os.path.exists(path):
            pytest.exit(f"{path} is there: run the tests where no relay is configured", 2)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test marked `newer_git` or `newer_gh` is skipped where no such program was prepared."""
    if item.get_closest_marker("newer_git") and not os.environ.get("NEWER_GIT"):
        pytest.skip("needs git >= 2.46: set NEWER_GIT to its path, see CONTRIBUTING.md")
    if item.get_closest_marker("newer_gh") and not os.environ.get("NEWER_GH"):
        pytest.skip("needs a newer gh than Debian's: set NEWER_GH to its path, see .ci/newer-gh")


@pytest.fixture(autouse=True)
def clean_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the settings, tokens, proxies or home directory of the person running it."""
    for name in os.environ:
        if (
            name.startswith(_REMOVED_PREFIXES)
            or name == "CLOUD_API_URL"
            or name.upper().endswith("_PROXY")
        ):
            monkeypatch.delenv(name)

    home = tmp_path / "home"
    for name, path in {
        "HOME": home,
        "XDG_CACHE_HOME": home / ".cache",
        "XDG_CONFIG_HOME": home / ".config",
        "XDG_DATA_HOME": home / ".local/share",
        "XDG_STATE_HOME": home / ".local/state",
        "XDG_RUNTIME_DIR": tmp_path / "run",
    }.items():
        path.mkdir(mode=0o700, parents=True)
        monkeypatch.setenv(name, str(path))

    # XDG_RUNTIME_DIR is on a disk here: the helper would pass it by, for the machine's own cache.
    monkeypatch.setenv("GIT_CREDENTIAL_RELAY_CACHE_DIR", str(tmp_path / "run" / "cache"))

    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    monkeypatch.setenv("GIT_TERMINAL_PROMPT", "0")
