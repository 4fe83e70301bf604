"""The CGI side of the forge."""

import shutil
import tempfile

import pytest

from git_credential_relay.demo.backend import CgiRequest, GitBackend, GitMissingError, find_git

REQUEST = CgiRequest("GET", "/a/b.git/info/refs", "service=git-upload-pack", "", "", "", "x")


def test_silent_backend_is_a_server_error(tmp_path):
    """A backend that ends without an answer counts as 500, not as an empty success."""
    silent = shutil.which("true")
    assert silent is not None
    backend = GitBackend(tmp_path, silent)
    with tempfile.TemporaryFile() as body, backend.serve(REQUEST, body) as answer:
        status, content = answer.status, answer.stream.read()

    assert (status, content) == (500, b"")


def test_closed_backend_starts_nothing(tmp_path):
    """After close a request is refused instead of starting a process that nobody would end."""
    backend = GitBackend(tmp_path, find_git())
    backend.close()
    with (
        tempfile.TemporaryFile() as body,
        pytest.raises(ConnectionAbortedError),
        backend.serve(REQUEST, body),
    ):
        pass


def test_missing_git_is_named(monkeypatch, tmp_path):
    """Without git on PATH the error says how to get it."""
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(GitMissingError, match="apt-get install git"):
        find_git()
