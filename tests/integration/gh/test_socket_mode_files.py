"""The real gh in socket mode with a release's files: down through a redirect, and up."""

from __future__ import annotations

import hashlib

import pytest

from tests.fakes.api_proxy import ScriptedWorkspace, minting, running_api_proxy
from tests.fakes.configs import make_config
from tests.fakes.gh import VERSIONS, real_gh
from tests.fakes.upstream import STORAGE, Reply, Seen, running_upstream, says
from tests.integration.gh.test_socket_mode import SocketAgent

FILE = bytes(range(256)) * 4096  # 1 MiB
API = "https://api.github.com/repos/octo/demo"
SIGNED = f"https://{STORAGE}/file?signature=shh%2Bx&expires=1"


def asset(name: str) -> dict[str, object]:
    """A file of the release, as the API shows it."""
    return {
        "id": 5,
        "name": name,
        "label": "",
        "size": len(FILE),
        "state": "uploaded",
        "url": f"{API}/releases/assets/5",
        "browser_download_url": f"https://github.com/octo/demo/releases/download/v1/{name}",
    }


def script(seen: Seen) -> Reply:
    """One release with one file."""
    place = (seen.host, seen.target.partition("?")[0])
    release = {
        "id": 1,
        "tag_name": "v1",
        "name": "v1",
        "url": f"{API}/releases/1",
        "upload_url": "https://uploads.github.com/repos/octo/demo/releases/1/assets{?name,label}",
        "tarball_url": f"{API}/tarball/v1",
        "assets": [asset("demo.bin")],
    }
    if place == (STORAGE, "/file"):
        return Reply(200, FILE, {"Content-Type": "application/octet-stream"})
    if place[1].endswith("/releases/tags/v1"):
        return says(release)
    if place[1].endswith("/releases/assets/5"):
        return Reply(302, b"", {"Location": SIGNED})
    if place[0] == "uploads.github.com":
        return says(asset("up.bin"), 201)
    return says({"data": {"repository": {"release": {"databaseId": 1}}}})


@pytest.fixture
def upstream(tmp_path):
    """The API, its uploads' host and its storage, over TLS."""
    with running_upstream(script, tmp_path) as upstream:
        yield upstream


@pytest.fixture(params=VERSIONS)
def agent(request, tmp_path, upstream):
    """An agent with that gh, whose workspace has one token."""
    config = make_config(
        HTTPS_PROXY=upstream.proxy_url, GIT_CREDENTIAL_RELAY_CA_FILE=upstream.ca_file
    )
    workspace = ScriptedWorkspace(config, minting("token-1"))
    program = real_gh(request.param)
    with running_api_proxy(lambda connection: workspace) as proxy:
        yield SocketAgent(program, tmp_path, proxy.path)


def test_a_release_is_downloaded_through_its_redirect(agent, upstream, tmp_path):
    """Whole, and with the token at the API alone: the storage's URL is its own permission."""
    code, _, err = agent.gh("release", "download", "v1", "-R", "octo/demo", "-O", "file.bin")

    assert code == 0, err
    assert (tmp_path / "file.bin").read_bytes() == FILE
    stored = [seen for seen in upstream.requests if seen.host == STORAGE]
    assert [(seen.target, seen.token) for seen in stored] == [
        (SIGNED.removeprefix(f"https://{STORAGE}"), None)
    ]
    assert {seen.token for seen in upstream.requests if seen not in stored} == {"token token-1"}


def test_a_file_is_uploaded(agent, upstream, tmp_path):
    """Whole, to the host that is for it."""
    (tmp_path / "up.bin").write_bytes(FILE)
    code, _, err = agent.gh("release", "upload", "v1", "up.bin", "-R", "octo/demo")

    assert code == 0, err
    (seen,) = [seen for seen in upstream.requests if seen.host == "uploads.github.com"]
    assert seen.token == "token token-1"
    assert hashlib.sha256(seen.body).digest() == hashlib.sha256(FILE).digest()
    assert seen.target == "/repos/octo/demo/releases/1/assets?label=&name=up.bin"
