"""`config`: what is set, and where."""

import pytest

from git_credential_relay.main import main
from git_credential_relay.settings import SETTINGS


def lines(capsys, *arguments: str) -> dict[str, str]:
    """What `config` says about each setting."""
    assert main([*arguments, "config"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return {line.removeprefix("# ").partition("=")[0].split()[0]: line for line in out.splitlines()}


def test_every_setting_is_shown_at_its_default(capsys, monkeypatch):
    """Without configuration each setting is there, with its default or as not set."""
    monkeypatch.delenv("GIT_CREDENTIAL_RELAY_CACHE_DIR")
    shown = lines(capsys)
    expected = {
        s.name: f"{s.name}={s.default}  # default" if s.default else f"# {s.name} is not set"
        for s in SETTINGS
    }

    assert shown == expected | {
        "hosts:": "# hosts: https://github.com (github), https://gitlab.com (gitlab)"
    }


def test_each_value_says_where_it_is_from(capsys, monkeypatch, tmp_path):
    """A value is shown with its flag, its variable as spelled, or its file and line."""
    path = tmp_path / "relay.env"
    path.write_text("# ours\nFORGE_URL=https://code.example/x\n")
    monkeypatch.setenv("AGENT_RELAY_CLOUD_URL", "https://api.example")
    shown = lines(capsys, "--config", str(path), "-v", "--deadline=5")

    assert {
        name: shown[name]
        for name in (
            "CLOUD_API_URL",
            "GIT_CREDENTIAL_RELAY_CONFIG",
            "GIT_CREDENTIAL_RELAY_DEADLINE",
            "GIT_CREDENTIAL_DEBUG",
            "FORGE_URL",
            "hosts:",
        )
    } == {
        "CLOUD_API_URL": "CLOUD_API_URL=https://api.example"
        "  # AGENT_RELAY_CLOUD_URL in the environment",
        "GIT_CREDENTIAL_RELAY_CONFIG": f"GIT_CREDENTIAL_RELAY_CONFIG={path}  # --config",
        "GIT_CREDENTIAL_RELAY_DEADLINE": "GIT_CREDENTIAL_RELAY_DEADLINE=5  # --deadline",
        "GIT_CREDENTIAL_DEBUG": "GIT_CREDENTIAL_DEBUG=1  # --verbose",
        "FORGE_URL": f"FORGE_URL=https://code.example/x  # {path}:2 (FORGE_URL)",
        "hosts:": "# hosts: https://code.example/x (forgejo), https://github.com (github),"
        " https://gitlab.com (gitlab)",
    }


@pytest.mark.parametrize("name", [setting.name for setting in SETTINGS if setting.is_secret])
def test_secrets_are_masked_and_their_files_named(capsys, monkeypatch, tmp_path, name):
    """Of a secret only the fact and the origin are shown; of a secret's file its path."""
    secret = tmp_path / "secret"
    secret.write_text("canary")
    monkeypatch.setenv(name, "canary")
    value = lines(capsys)[name]
    monkeypatch.delenv(name)
    monkeypatch.setenv(f"{name}_FILE", str(secret))
    file = lines(capsys)[f"{name}_FILE"]

    assert value == f"{name}=********  # {name} in the environment"
    assert file == f"{name}_FILE={secret}  # {name}_FILE in the environment"


def test_values_show_no_password_and_steer_no_terminal(capsys, monkeypatch):
    """A password inside another value is masked, and control characters are not printed."""
    monkeypatch.setenv("HTTPS_PROXY", "http://user:canary@proxy:3128")
    monkeypatch.setenv("NO_PROXY", "a\x1b[2J\nb")
    shown = lines(capsys)

    assert shown["HTTPS_PROXY"] == (
        "HTTPS_PROXY=http://********@proxy:3128  # HTTPS_PROXY in the environment"
    )
    assert shown["NO_PROXY"] == "NO_PROXY=a [2J b  # NO_PROXY in the environment"


@pytest.mark.parametrize(
    "proxy", ["user:canary@proxy:3128", "http://user:can@ary@proxy:3128", "http://u:can/ary@proxy"]
)
def test_no_form_of_a_proxy_password_is_shown(capsys, monkeypatch, proxy):
    """A password is masked however wrongly the proxy's address is written."""
    monkeypatch.setenv("HTTPS_PROXY", proxy)

    assert "ary" not in lines(capsys)["HTTPS_PROXY"]
