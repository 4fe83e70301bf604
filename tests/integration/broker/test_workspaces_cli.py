"""`broker workspace`: the admin API from the command line."""

import json
import os
import stat

import pytest

from git_credential_relay.broker.store.cipher import new_key
from git_credential_relay.config import load
from git_credential_relay.main import main
from tests.fakes.admin_api import ADMIN_SECRET, AdminApi

URL = "https://github.com/acme/app.git"


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    serving = AdminApi(tmp_path_factory.mktemp("broker"), new_key())
    yield serving
    serving.close()


@pytest.fixture
def run(api, capsys, monkeypatch):
    """Run `broker workspace …` as an administrator; exit code, stdout, stderr."""
    monkeypatch.setenv("BROKER_ADMIN_SECRET", ADMIN_SECRET)

    def run(*arguments, url=api.url):
        code = main(["broker", "workspace", arguments[0], "--url", url, *arguments[1:]])
        out, err = capsys.readouterr()
        return code, out, err

    return run


def test_create_writes_what_a_relay_needs(run, api, tmp_path):
    """--write-env leaves a file of the owner's alone that a relay can use as it is, and the
    secret nowhere else."""
    path = tmp_path / "relay.env"
    gitlab = "https://gitlab.example:8443/gitlab/team/sub/app.git"

    code, out, err = run("create", gitlab, "--id", "w-env", "--write-env", str(path))
    config = load({}, files=[str(path)])
    secret = config.workspace_token.read()

    assert (code, out) == (0, "")
    assert f"wrote {path}" in err
    assert "gitlab.example:8443 team/sub/app: contents=write" in err
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (config.api_url, config.workspace_id) == (api.url, "w-env")
    assert config.forges[0].url == "https://gitlab.example:8443/gitlab"
    assert secret is not None
    assert len(secret.reveal()) == 64
    assert secret.reveal() not in err


def test_create_prints_the_secret_once(run):
    """Without a file the settings, the secret among them, are on stdout and nothing else is."""
    code, out, err = run("create", URL, "--id", "w-out", "--permission", "contents=read")
    settings = dict(line.split("=", 1) for line in out.splitlines())

    assert code == 0
    assert set(settings) == {"CLOUD_API_URL", "WORKSPACE_ID", "WORKSPACE_TOKEN"}
    assert settings["WORKSPACE_TOKEN"] not in err
    code, out, _ = run("show", "w-out")
    assert "github.com acme/app: contents=read" in out
    assert settings["WORKSPACE_TOKEN"] not in out


def test_relay_url_on_another_machine(run):
    """Relays may reach the broker elsewhere than this command; plain http has to be allowed."""
    _, out, _ = run("create", URL, "--relay-url", "http://broker:8750")

    assert "CLOUD_API_URL=http://broker:8750\n" in out
    assert "GIT_CREDENTIAL_RELAY_ALLOW_HTTP=1\n" in out


@pytest.mark.parametrize("there", ["file", "link"])
def test_existing_file_is_not_overwritten(run, api, tmp_path, there):
    """Where the file is there already, or a link lies in wait, no workspace is made at all."""
    path = tmp_path / "relay.env"
    if there == "file":
        path.write_text("mine")
    else:
        os.symlink(tmp_path / "target", path)

    code, _, err = run("create", URL, "--id", f"w-{there}", "--write-env", str(path))

    assert code == 2
    assert "[usage]" in err
    assert api.call("GET", f"/w-{there}").status_code == 404
    assert not (tmp_path / "target").exists()


def test_refused_creation_leaves_no_file(run, tmp_path):
    """When the broker refuses, what it says is shown with code and hint, and no file remains."""
    path = tmp_path / "relay.env"

    code, out, err = run("create", "https://github.com/stranger/x", "--write-env", str(path))

    assert (code, out) == (1, "")
    assert "[NO_INTEGRATION]" in err
    assert "install the App on stranger" in err
    assert not path.exists()


def test_a_token_file_that_is_not_there(run):
    """The option is named, and the file once."""
    code, out, err = run("create", URL, "--token-file", "/gone/token")

    assert (code, out) == (2, "")
    assert "--token-file: cannot read /gone/token: " in err


def test_grants_from_a_file_and_a_token_from_another(run, tmp_path):
    """Whole grants come as JSON; a token is never an argument."""
    body = tmp_path / "body.json"
    body.write_text(json.dumps({"grants": [{"host": "github.com", "repositories": ["acme/*"]}]}))
    token = tmp_path / "token"
    token.write_text("user-token-canary\n")
    token.chmod(0o600)

    code, _, err = run("create", "--from", str(body), "--id", "w-from")
    assert (code, "acme/*: contents=write" in err, "not verified" in err) == (0, True, True)
    code, _, _ = run("create", "https://git.example/a/b", "--token-file", str(token), "--id", "w-t")
    assert code == 0
    _, out, _ = run("show", "w-t", "--format", "json")
    assert json.loads(out)["grants"][0]["token"] == "********"


def test_list_rotate_delete(run, api):
    """The rest of a workspace's life, by its id."""
    run("create", URL, "--id", "w-life")

    _, listed, _ = run("list")
    code, secret, _ = run("rotate", "w-life", "--overlap", "0")
    assert (code, len(secret.strip())) == (0, 64)
    assert "declared file acme/declared\n" in listed
    assert "w-life api acme/app\n" in listed

    api.revocation = (2, 1)
    code, _, err = run("delete", "w-life")
    api.revocation = (0, 0)
    assert code == 75
    assert "2 live tokens ended" in err
    assert "1 could not be ended yet" in err
    code, _, err = run("delete", "w-life")
    assert (code, "[WORKSPACE_NOT_FOUND]" in err) == (1, True)


def test_wrong_admin_secret(run, monkeypatch):
    """A secret that is not the admin's is one clear line, with the code for authentication."""
    monkeypatch.setenv("BROKER_ADMIN_SECRET", "not-the-secret")
    code, out, err = run("list")

    assert (code, out) == (4, "")
    assert "not-the-secret" not in err
    assert "check the admin's secret" in err


def test_secret_and_address_from_the_configuration(api, tmp_path, capsys, monkeypatch):
    """On the broker's own machine its configuration says where it is and what proves us."""
    config = tmp_path / "broker.toml"
    (tmp_path / "admin.secret").write_text(ADMIN_SECRET)
    address = api.url.removeprefix("http://")
    config.write_text(f'listen = "{address}"\n[admin]\nsecret_file = "admin.secret"\n')

    assert main(["broker", "workspace", "list", "--config", str(config)]) == 0
    monkeypatch.chdir(tmp_path)
    assert main(["broker", "workspace", "list"]) == 0
    assert capsys.readouterr().out.count("declared file") == 2


def test_secret_is_not_sent_in_the_clear(run):
    """Plain http to another machine is refused before anything is sent."""
    code, _, err = run("list", url="http://192.0.2.1:8750")

    assert code == 2
    assert "plain http to another machine" in err


def test_nobody_there(run):
    """Without a broker the error names the address, and what to start."""
    code, _, err = run("list", url="http://127.0.0.1:1")

    assert code == 75
    assert "[broker-unreachable]" in err
    assert "broker serve" in err


def test_no_secret_at_all(api, tmp_path, capsys, monkeypatch):
    """Without any secret nothing is sent, and the ways to give one are named."""
    monkeypatch.chdir(tmp_path)
    assert main(["broker", "workspace", "list", "--url", api.url]) == 2
    assert "--admin-secret-file or BROKER_ADMIN_SECRET" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["create", "show", "list", "rotate", "delete"])
def test_help_of_each_command(capsys, command):
    """Each command says what it does and how to reach the broker."""
    assert main(["broker", "workspace", command, "--help"]) == 0
    assert "--admin-secret-file" in capsys.readouterr().out
