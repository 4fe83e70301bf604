"""The playground's directory and its forge; the broker itself runs elsewhere."""

import base64
import os
import socket
import stat
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from git_credential_relay.broker.config.load import load_config
from git_credential_relay.demo.playground import CONFIG, REPOSITORIES, open_playground
from git_credential_relay.errors import CommandNotFoundError, ConfigError, RelayError


@pytest.fixture
def port() -> int:
    """A port at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def directory(tmp_path: Path, port: int) -> Path:
    """A playground's directory whose forge has a port of its own, as tests run side by side."""
    path = tmp_path / "play"
    path.mkdir(mode=0o700)
    (path / "broker.toml").write_text(CONFIG.replace("8751", str(port)))
    return path


def test_directory_is_private_and_complete(directory):
    """What is missing is written for the owner alone, and the configuration can be loaded."""
    with open_playground(directory) as playground:
        names = {path.name for path in directory.iterdir()}
        loaded = load_config(playground.config.path)

    assert names == {".gitignore", "app.pem", "admin.secret", "broker.toml"}
    assert (directory / ".gitignore").read_text() == "*\n"
    assert loaded.model.admin is not None
    for name in ("app.pem", "admin.secret"):
        assert stat.S_IMODE((directory / name).stat().st_mode) == 0o600


def test_new_directory_is_the_owners_alone(tmp_path, monkeypatch):
    """A directory that was not there is made with no right for others, whatever the umask."""
    monkeypatch.setenv("PATH", str(tmp_path))
    before = os.umask(0)
    try:
        with pytest.raises(CommandNotFoundError):
            open_playground(tmp_path / "a" / "play").__enter__()
    finally:
        os.umask(before)

    assert stat.S_IMODE((tmp_path / "a" / "play").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "a" / "play" / "broker.toml").stat().st_mode) == 0o600


def test_what_is_there_stays(directory):
    """Opened again, key, secret and what somebody has written into the file are the same."""
    with open_playground(directory):
        pass
    config = directory / "broker.toml"
    config.write_text(config.read_text() + "# mine\n")
    before = {path.name: path.read_bytes() for path in directory.iterdir()}
    with open_playground(directory):
        pass

    assert {path.name: path.read_bytes() for path in directory.iterdir()} == before


def test_forge_knows_its_repositories_and_nobodys_token(directory, port):
    """Each repository is there for git, at the port of the file, and for holders of tokens only."""
    with open_playground(directory) as playground:
        token = playground.forge.tokens.issue(REPOSITORIES, push=False, lifetime_seconds=60).token
        basic = base64.b64encode(f"x-access-token:{token}".encode()).decode()
        for name in REPOSITORIES:
            url = f"http://127.0.0.1:{port}/{name}.git/info/refs?service=git-upload-pack"
            request = urllib.request.Request(url, headers={"Authorization": f"Basic {basic}"})
            with urllib.request.urlopen(request) as answer:
                assert answer.status == 200
            with pytest.raises(urllib.error.HTTPError, match="401") as refused:
                urllib.request.urlopen(url)
            refused.value.close()


def test_explains_what_to_do_next(directory, port):
    """The commands name this directory and this forge, and the broker where it is elsewhere."""
    with open_playground(directory) as playground:
        told = playground.explain()
        elsewhere = playground.explain("127.0.0.1:9999")

    assert f"workspace create http://127.0.0.1:{port}/acme/app.git" in told
    assert f"--config {directory}/broker.toml --write-env {directory}/relay.env" in told
    assert "--url" not in told
    assert "--url http://127.0.0.1:9999" in elsewhere


def test_public_directory_is_refused(directory):
    """No key is written where others could read or replace it."""
    directory.chmod(0o750)
    with pytest.raises(ConfigError, match="open to others"):
        open_playground(directory).__enter__()

    assert not (directory / "app.pem").exists()


@pytest.mark.parametrize("name", ["app.pem", "admin.secret"])
def test_link_that_lies_in_wait_is_not_written_through(directory, tmp_path, name):
    """A link in place of a secret leads to no new file elsewhere."""
    (directory / name).symlink_to(tmp_path / "target")
    with pytest.raises(ConfigError), open_playground(directory) as playground:
        playground.config.read_secret("admin.secret")

    assert not (tmp_path / "target").exists()


def test_file_without_a_forge_here_is_refused(directory):
    """The playground does not play the forge of a real configuration."""
    config = directory / "broker.toml"
    config.write_text(CONFIG.replace('host = "127.0.0.1:8751"', 'host = "github.com"'))
    with pytest.raises(ConfigError, match="for the playground") as refused:
        open_playground(directory).__enter__()

    assert refused.value.hint is not None


def test_key_that_is_none_is_refused(directory):
    """A file without a key in it is named, and how to get a new one."""
    (directory / "app.pem").write_text("nonsense")
    with pytest.raises(ConfigError, match=r"app\.pem holds no key"):
        open_playground(directory).__enter__()


def test_port_that_is_taken_is_one_clear_error(directory, port, monkeypatch, tmp_path):
    """Where somebody else listens nothing is left behind, and the port is named."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    said = f"cannot listen at 127.0.0.1:{port}"
    with (
        socket.create_server(("127.0.0.1", port)),
        pytest.raises(RelayError, match=said) as refused,
    ):
        open_playground(directory).__enter__()

    assert refused.value.code == "cannot-listen"
    assert list((tmp_path / "temporary").iterdir()) == []
