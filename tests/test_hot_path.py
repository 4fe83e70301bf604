"""What the helper loads on the paths git takes all the time: almost nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import git_credential_relay
from tests.fakes.agent import AgentHome, ask
from tests.fakes.api import issues, serve_api

OURS = "git_credential_relay"
# Loaded before any program runs: by `python -I` for its site module, with or without us.
FLOOR = {
    "os",
    "os.path",
    "stat",
    "_stat",
    "posixpath",
    "genericpath",
    "_collections_abc",
    "abc",
    "_abc",
    "io",
}
ALLOWED = {"__future__", "errno", "resource", "time"}
BANNED = {
    "argparse",
    "asyncio",
    "base64",
    "click",
    "collections",
    "contextlib",
    "dataclasses",
    "datetime",
    "enum",
    "functools",
    "hashlib",
    "httpx2",
    "importlib.metadata",
    "inspect",
    "json",
    "keyring",
    "logging",
    "pathlib",
    "random",
    "re",
    "shutil",
    "socket",
    "ssl",
    "subprocess",
    "tempfile",
    "tenacity",
    "threading",
    "traceback",
    "typing",
    "urllib.parse",
    "yaml",
}

# Without `site` (-S), whose .pth files load half of this on a developer's machine and would
# hide it; so the paths are given by hand.
PROBE = """\
import sys
floor = set(sys.modules)
sys.path[:0] = {paths!r}
from git_credential_relay.main import main
status = main()
loaded = sorted(set(sys.modules) - floor)
with open({report!r}, "w") as report:
    report.write(chr(10).join(loaded))
sys.exit(status)
"""


class Probe(AgentHome):
    """An agent whose helper writes down which modules it had to load."""

    def __init__(self, root: Path, api_url: str) -> None:
        root.mkdir()
        package = str(Path(git_credential_relay.__file__).parent.parent)
        self.report = root / "modules"
        paths = [package, *(p for p in sys.path if p.endswith("site-packages"))]
        launcher = root / "probe"
        launcher.write_text(
            f"#!{sys.executable} -IS\n" + PROBE.format(paths=paths, report=str(self.report))
        )
        launcher.chmod(0o755)
        super().__init__(root, launcher, api_url)

    def loaded(self) -> set[str]:
        """The modules of the last run, beyond those of the bare interpreter."""
        return set(self.report.read_text().split("\n"))


@pytest.fixture
def api():
    """A relay API that issues tokens."""
    with serve_api() as api:
        api.script(issues("tok-1"))
        yield api


@pytest.fixture
def probe(tmp_path, api):
    """An agent with a warm cache for one repository."""
    probe = Probe(tmp_path / "probe", api.url)
    assert probe.get("o/r").password == "tok-1"
    return probe


def others(modules: set[str]) -> set[str]:
    """The modules that are not our own."""
    return {name for name in modules if name.partition(".")[0] != OURS}


def own(modules: set[str]) -> set[str]:
    """Our own modules, without the package's name in front."""
    return {name.removeprefix(OURS).removeprefix(".") for name in modules - others(modules)}


def test_the_probe_sees_what_a_cold_get_loads(probe):
    """A `get` that has to ask the API does load the heavy ones: the probe is not blind."""
    assert probe.get("o/cold").password == "tok-1"
    assert {"httpx2", "json", "re", "typing", "ssl", "enum"} <= probe.loaded()


@pytest.mark.parametrize(
    "request_bytes",
    [
        pytest.param(ask(path="o/r"), id="as-git-2.39-asks"),
        pytest.param(ask(path="o/r.git", username="x-access-token"), id="with-a-username"),
        pytest.param(
            b"capability[]=authtype\ncapability[]=state\n"
            + ask(path="o/r.git", **{"wwwauth[]": 'Basic realm="GitHub"'}),
            id="as-git-2.46-asks",
        ),
    ],
)
def test_warm_get_loads_nothing_heavy(api, probe, request_bytes):
    """A cache hit loads our few modules and five small ones of the standard library."""
    result = probe.helper("get", stdin=request_bytes)

    assert result.password == "tok-1"
    assert len(api.requests) == 1
    assert others(probe.loaded()) - FLOOR - ALLOWED == set()
    assert probe.loaded() & BANNED == set()


def test_warm_get_with_files_and_flags_loads_nothing_heavy(probe, tmp_path):
    """The same holds with configuration and secret in files, named by a flag."""
    secret = tmp_path / "secret"
    secret.write_text(probe.environ.pop("WORKSPACE_TOKEN") + "\n")
    settings = tmp_path / "relay.env"
    settings.write_text(
        f"CLOUD_API_URL={probe.environ.pop('CLOUD_API_URL')}\n"
        f"WORKSPACE_ID={probe.environ.pop('WORKSPACE_ID')}\n"
        f"WORKSPACE_TOKEN_FILE={secret}\nGITLAB_INSTANCE_URL=https://git.example:8443/gitlab\n"
    )
    result = probe.get("o/r", "--config", str(settings))

    assert result.password == "tok-1"
    assert others(probe.loaded()) - FLOOR - ALLOWED == set()


@pytest.mark.parametrize(
    ("arguments", "request_bytes"),
    [
        pytest.param(["get"], ask("evil.example"), id="foreign-host"),
        pytest.param(["get"], ask(protocol="http"), id="plain-http"),
        pytest.param(["get"], b"\x00\xff" * 100, id="noise"),
        pytest.param(["erase"], ask("evil.example", password="x"), id="erase-at-a-foreign-host"),
        pytest.param(["capability"], b"", id="capability"),
        pytest.param(["unknown"], b"", id="unknown-operation"),
    ],
)
def test_what_is_not_ours_loads_nothing_heavy(probe, arguments, request_bytes):
    """Being asked about other people's hosts costs no more than a cache hit."""
    result = probe.helper(*arguments, stdin=request_bytes)

    assert result.exit_code == 0
    assert others(probe.loaded()) - FLOOR - ALLOWED == set()


def test_store_loads_nothing_of_the_relay(probe):
    """The operation git calls after every success is over before anything is loaded."""
    assert probe.helper("store", stdin=ask(password="x")).is_silent_success
    assert own(probe.loaded()) == {"", "main", "errors", "settings"}
    assert others(probe.loaded()) - FLOOR == {"__future__"}
