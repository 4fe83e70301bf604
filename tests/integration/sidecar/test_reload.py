"""The configuration is read again, and nobody who is being answered notices."""

from __future__ import annotations

import signal
import threading
import time

import pytest

from tests.fakes.agent import SECRET, ask
from tests.fakes.api import issues
from tests.fakes.resident import until
from tests.fakes.sidecar import OTHER_UID, SidecarProcess, as_root, git_cache, workspace_environ

AGAIN = "configuration read again"


@pytest.fixture
def settings_file(tmp_path, api):
    """A relay.env with all the settings."""
    path = tmp_path / "relay.env"
    path.write_text(text(api.url))
    return path


def text(api_url: str, *lines: str, **changed: str) -> str:
    """The settings as a file."""
    settings = {**workspace_environ(api_url), **changed}
    return "\n".join([*(f"{name}={value}" for name, value in settings.items()), *lines, ""])


@pytest.fixture
def sidecar(directory, settings_file):
    """A sidecar with that file."""
    environ = {"GIT_CREDENTIAL_RELAY_CONFIG": str(settings_file)}
    with SidecarProcess(directory, environ) as sidecar:
        yield sidecar


def replace(path, content: str) -> None:
    """As an editor does it: another file takes the place."""
    other = path.with_suffix(".new")
    other.write_text(content)
    other.rename(path)


@pytest.mark.parametrize("how", ["written", "replaced", "told"])
def test_an_edit_counts_and_costs_nothing(api, sidecar, settings_file, how):
    """Tokens, history and running requests outlive an edit, however it is made."""
    api.script(issues("tok-1"), issues("tok-2"))
    kept = sidecar.get("o/kept")["password"]
    api.gate.clear()
    answers: list[dict[str, str]] = []
    waiting = threading.Thread(target=lambda: answers.append(sidecar.get("o/waits")))
    waiting.start()
    until(lambda: len(api.requests) == 2)
    edited = text(api.url, "GIT_CREDENTIAL_RELAY_MIN_LIFETIME=300")
    if how == "replaced":
        replace(settings_file, edited)
    else:
        settings_file.write_text(edited)
    if how == "told":
        sidecar.send(signal.SIGHUP)
    sidecar.wait_for_line(AGAIN)
    again = sidecar.get("o/kept")["password"]
    status = sidecar.question("status")
    api.gate.set()
    waiting.join(10)

    assert (kept, again) == ("tok-1", "tok-1")
    assert answers[0]["password"] == "tok-2"
    assert "o/kept" in status
    assert len(api.requests) == 2


def test_new_settings_are_in_force(api, sidecar, settings_file):
    """The next request to the API is made by the edited ones."""
    sidecar.get("o/r")
    settings_file.write_text(text(api.url, WORKSPACE_TOKEN="another-secret"))
    sidecar.reload()
    sidecar.get("o/other")
    settings_file.write_text(text(api.url, WORKSPACE_ID="ws-2"))
    sidecar.reload()
    sidecar.get("o/r")
    status = sidecar.question("status")

    assert [r.headers["Authorization"] for r in api.requests[:2]] == [
        f"Bearer {SECRET}",
        "Bearer another-secret",
    ]
    assert [r.fields["workspaceId"] for r in api.requests] == ["ws-1", "ws-1", "ws-2"]
    assert "o/other" not in status  # of another workspace, which is none of this one's business


@pytest.mark.parametrize(
    "broken", ["not a line", "GIT_CREDENTIAL_RELAY_NO_SUCH=1", "GIT_CREDENTIAL_RELAY_ALLOW_UIDS=x"]
)
def test_a_broken_edit_changes_nothing(api, sidecar, settings_file, broken):
    """The last good settings stay in force, file and line are told, and the next edit counts."""
    settings_file.write_text(text(api.url, broken))
    sidecar.reload("stays in force")
    lines = workspace_environ(api.url)
    served = sidecar.get("o/r").get("password")
    told = [line for line in sidecar.lines if "error:" in line]
    settings_file.write_text(text(api.url))
    sidecar.reload()

    assert served == "tok-default"
    assert f"{settings_file}:{len(lines) + 1}" in told[0]
    assert sidecar.get("o/r")["password"] == "tok-default"


def test_trouble_is_told_once(sidecar, settings_file):
    """A broken file is no news every second."""
    settings_file.write_text("nonsense")
    sidecar.wait_for_line("stays in force")
    time.sleep(1.1)

    assert sum("stays in force" in line for line in sidecar.lines) == 1


def test_a_file_that_goes_changes_nothing(sidecar, settings_file):
    """Between two states of a volume there may be none."""
    settings_file.rename(settings_file.with_suffix(".away"))
    sidecar.reload("stays in force")
    served = sidecar.get("o/r").get("password")
    settings_file.with_suffix(".away").rename(settings_file)
    sidecar.reload()

    assert served == "tok-default"


def test_kubernetes_swaps_a_symlink(directory, api, tmp_path):
    """A mounted ConfigMap changes by its `..data` alone."""
    for name, identity in (("one", "ws-1"), ("two", "ws-2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "relay.env").write_text(text(api.url, WORKSPACE_ID=identity))
    (tmp_path / "..data").symlink_to("one")
    (tmp_path / "relay.env").symlink_to("..data/relay.env")
    environ = {"GIT_CREDENTIAL_RELAY_CONFIG": str(tmp_path / "relay.env")}
    with SidecarProcess(directory, environ) as sidecar:
        sidecar.get("o/r")
        (tmp_path / "..new").symlink_to("two")
        (tmp_path / "..new").rename(tmp_path / "..data")
        sidecar.wait_for_line(AGAIN)
        sidecar.get("o/r")

    assert [r.fields["workspaceId"] for r in api.requests] == ["ws-1", "ws-2"]


def test_a_rotated_secret_needs_no_reload(directory, api, tmp_path):
    """The secret's file is read at each use: the next mint is with the new one."""
    secret = tmp_path / "secret"
    secret.write_text("first\n")
    environ = {**workspace_environ(api.url), "WORKSPACE_TOKEN_FILE": str(secret)}
    del environ["WORKSPACE_TOKEN"]
    with SidecarProcess(directory, environ) as sidecar:
        sidecar.get("o/a")
        replace(secret, "second\n")
        sidecar.get("o/b")

    assert [r.headers["Authorization"] for r in api.requests] == ["Bearer first", "Bearer second"]


@as_root
def test_an_edit_of_who_may_ask(api, sidecar, settings_file):
    """Another user is let in, and out again, without a restart."""

    def asks() -> str | None:
        return git_cache(sidecar.socket, "get", ask(path="o/r"), user=OTHER_UID).password

    before = asks()
    settings_file.write_text(text(api.url, GIT_CREDENTIAL_RELAY_ALLOW_UIDS=str(OTHER_UID)))
    sidecar.reload()
    allowed = asks()
    settings_file.write_text(text(api.url))
    sidecar.reload()

    assert (before, allowed, asks()) == (None, "tok-default", None)
    assert len(api.requests) == 1
