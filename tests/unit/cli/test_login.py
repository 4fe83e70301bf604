"""`login` and `logout` with a keyring."""

import json
import os
import pty
import stat
import subprocess
from pathlib import Path

import pytest

from tests.fakes.program import EXECUTABLE, run_program

P = "git-credential-relay: "
ROOT = str(Path(__file__).parents[3])
SECRET = "workspace-canary"


@pytest.fixture
def keyring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a keyring that child processes use."""
    path = tmp_path / "keyring.json"
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "tests.fakes.keyring_backend.Keyring")
    monkeypatch.setenv("PYTHONPATH", ROOT)
    monkeypatch.setenv("FAKE_KEYRING", str(path))
    return path


@pytest.fixture
def env_file(tmp_path: Path) -> Path:
    """The user's own relay.env."""
    return tmp_path / "home/.config/git-credential-relay/relay.env"


def flags(url: str) -> list[str]:
    """API and workspace as flags."""
    return ["--cloud-api-url", url, "--workspace-id", "ws-1"]


def test_login_then_get_then_logout(httpserver, keyring, env_file):
    """After login a `get` with no setting at all is served by the secret in the keyring, and
    after logout nothing of it is left."""
    url = httpserver.url_for("").rstrip("/")
    httpserver.expect_oneshot_request(
        "/api/git/token", headers={"Authorization": f"Bearer {SECRET}"}
    ).respond_with_json({"token": "ghs_token", "username": "x-access-token"})
    login = run_program(*flags(url), "login", stdin=f"{SECRET}\n")
    kept = json.loads(keyring.read_text())
    written = env_file.read_text()
    get = run_program("get", stdin="protocol=https\nhost=github.com\n\n")
    logout = run_program("logout")

    assert (login.returncode, login.stdout, login.stderr) == (
        0,
        "",
        f"kept the secret of ws-1 in the keyring; wrote {env_file}\n",
    )
    assert list(kept.values()) == [SECRET]
    assert written == (f"CLOUD_API_URL={url}\nWORKSPACE_ID=ws-1\nGIT_CREDENTIAL_RELAY_KEYRING=1\n")
    assert (get.stdout, get.stderr) == ("username=x-access-token\npassword=ghs_token\n\n", "")
    assert (logout.returncode, logout.stderr) == (0, "forgot the secret\n")
    assert json.loads(keyring.read_text()) == {}
    assert not env_file.exists()


def test_login_keeps_what_others_wrote(keyring, env_file):
    """Login replaces its own lines of relay.env, leaves the others, and closes the file to
    other users; logout leaves the others too."""
    env_file.parent.mkdir(parents=True)
    env_file.write_text("# mine\nGH_HOST=ghe.example\nWORKSPACE_ID=old\n")
    url = "https://api.example"
    login = run_program(*flags(url), "login", stdin=SECRET)
    text, mode = env_file.read_text(), stat.S_IMODE(env_file.stat().st_mode)
    logout = run_program("logout")

    assert (login.returncode, logout.returncode) == (0, 0)
    assert text == (
        "# mine\nGH_HOST=ghe.example\n"
        f"CLOUD_API_URL={url}\nWORKSPACE_ID=ws-1\nGIT_CREDENTIAL_RELAY_KEYRING=1\n"
    )
    assert mode == 0o600
    assert env_file.read_text() == "# mine\nGH_HOST=ghe.example\n"
    assert [path.name for path in env_file.parent.iterdir()] == ["relay.env"]


def test_logout_twice_is_no_failure(keyring):
    """Forgetting what is not there says so, and succeeds."""
    done = run_program(*flags("https://api.example"), "logout")

    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        "",
        "there was no secret to forget\n",
    )


def test_login_asks_at_a_terminal_without_echo(keyring):
    """At a terminal the secret is asked for on stderr, and what is typed is not shown."""
    controller, terminal = pty.openpty()
    with subprocess.Popen(
        [EXECUTABLE, *flags("https://api.example"), "login"],
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            assert process.stderr is not None
            err = b""
            # What is typed before the echo is off is thrown away; the blank comes after that.
            while not err.endswith(b": ") and (chunk := os.read(process.stderr.fileno(), 100)):
                err += chunk
            os.write(controller, f"{SECRET}\n".encode())
            out, rest = process.communicate(timeout=30)
        finally:
            process.kill()
            os.close(controller)
            os.close(terminal)

    assert (process.returncode, out) == (0, b"")
    assert err == b"workspace secret: "
    assert rest.decode().strip().startswith("kept the secret of ws-1 in the keyring; wrote ")
    assert list(json.loads(keyring.read_text()).values()) == [SECRET]


@pytest.mark.parametrize(
    ("arguments", "stdin", "expected"),
    [
        pytest.param(
            [], SECRET, "CLOUD_API_URL not set [usage] (hint: set CLOUD_API_URL", id="no API"
        ),
        pytest.param(
            ["--cloud-api-url", "https://api.example"],
            SECRET,
            "WORKSPACE_ID not set [usage] (hint: set WORKSPACE_ID",
            id="no workspace",
        ),
        pytest.param(
            flags("https://api.example"),
            "",
            "the secret is not one word of plain text [usage]",
            id="nothing on stdin",
        ),
        pytest.param(
            flags("https://api.example"),
            "two canary\n",
            "the secret is not one word of plain text [usage]",
            id="two words",
        ),
        pytest.param(
            flags("http://api.example"),
            SECRET,
            "--cloud-api-url: plain http is only for this machine",
            id="http",
        ),
        pytest.param(
            ["--allow-http", "1", *flags("http://api.example")],
            SECRET,
            "--cloud-api-url: plain http is only for this machine",
            id="http, opted in for this call alone",
        ),
    ],
)
def test_login_that_cannot_work_changes_nothing(keyring, env_file, arguments, stdin, expected):
    """What login needs and does not have is said in one line; nothing is kept or written."""
    done = run_program(*arguments, "login", stdin=stdin)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"{P}error: {expected}")
    assert done.stderr.count("\n") == 1
    assert "canary" not in done.stderr
    assert not keyring.exists()
    assert not env_file.exists()


def test_login_without_a_home_keeps_nothing(keyring):
    """Where there is no place for relay.env, the secret is not kept either."""
    done = run_program(
        *flags("https://api.example"), "login", stdin=SECRET, HOME="", XDG_CONFIG_HOME=""
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(
        f"{P}error: there is no home directory to keep relay.env in [bad-config] (hint: set HOME"
    )
    assert not keyring.exists()


@pytest.mark.parametrize("command", ["login", "logout"])
def test_without_a_keyring_there_is_one_clear_error(env_file, command):
    """Where no keyring works, as in a container, one line says so and what to do instead."""
    done = run_program(
        *flags("https://api.example"),
        command,
        stdin=SECRET,
        PYTHON_KEYRING_BACKEND="keyring.backends.fail.Keyring",
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"{P}error: the keyring does not work here: ")
    assert "hint: set WORKSPACE_TOKEN_FILE instead; a container has no keyring" in done.stderr
    assert done.stderr.count("\n") == 1
    assert SECRET not in done.stderr
    assert not env_file.exists()


def test_get_without_a_keyring_says_so(httpserver):
    """A `get` whose secret should be in a keyring that does not work names the keyring."""
    done = run_program(
        *flags(httpserver.url_for("")),
        *("--keyring", "1", "--fallback", "off", "get"),
        stdin="protocol=https\nhost=github.com\n\n",
        PYTHON_KEYRING_BACKEND="keyring.backends.fail.Keyring",
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert "the keyring does not work here: " in done.stderr.splitlines()[0]
    assert httpserver.log == []
