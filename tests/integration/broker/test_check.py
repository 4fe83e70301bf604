"""`broker check`: finds what is wrong before anybody is refused because of it."""

from __future__ import annotations

import json

import pytest

from git_credential_relay.main import main
from tests.fakes.github_app import LOOKUPS, GitHubAppWorld, app_key

WORKSPACE = """
[[workspace]]
id = "w1"
secret_file = "w1.secret"
"""


def grant(host, *repositories, permissions='{ contents = "write" }'):
    names = json.dumps(list(repositories))
    return (
        f'[[workspace.grant]]\nhost = "{host}"\nrepositories = {names}\n'
        f"permissions = {permissions}\n"
    )


@pytest.fixture
def check(tmp_path, capsys):
    """Writes a configuration and checks it: the exit code and the findings by name."""
    for name, text in (
        ("w1.secret", "secret-of-w1"),
        ("app.pem", app_key()[0]),
        ("bb.token", "a-token"),
    ):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)

    def run(text, *arguments):
        path = tmp_path / "broker.toml"
        path.write_text(text)
        code = main(["broker", "check", "--config", str(path), "--format", "json", *arguments])
        out, err = capsys.readouterr()
        assert err == ""
        report = json.loads(out)
        assert report["ok"] is (code == 0)
        for secret in ("secret-of-w1", "a-token", "PRIVATE KEY", "ghs_"):
            assert secret not in out
        return code, report["checks"]

    return run


GITHUB = '[[forge]]\nkind = "github"\napp_id = 1\nprivate_key_file = "app.pem"\n'
STATIC = '[[forge]]\nkind = "static"\nhost = "bitbucket.org"\ntoken_file = "bb.token"\n'
GOOD = GITHUB + STATIC + WORKSPACE + grant("github.com", "acme/app") + grant("bitbucket.org", "t/a")


def failures(checks):
    return [(c["name"], c["code"], c["message"]) for c in checks if c["status"] == "fail"]


def test_a_good_configuration(check, tmp_path):
    """Everything is ok, forges and grants are listed, and nothing has been made or opened."""
    before = sorted(tmp_path.rglob("*"))
    code, checks = check(GOOD)

    assert (code, failures(checks)) == (0, [])
    assert {c["status"] for c in checks} == {"ok"}
    told = {(c["name"], c["message"]) for c in checks}
    assert ("workspace w1", "github.com: acme/app (contents = write; api, git)") in told
    assert (
        "forge github:github.com",
        "github at https://github.com, API https://api.github.com",
    ) in told
    assert sorted(tmp_path.rglob("*")) == sorted({*before, tmp_path / "broker.toml"})


@pytest.mark.parametrize(
    ("text", "line", "cause"),
    [
        pytest.param(GOOD.replace("app.pem", "w1.secret"), 1, "not a private key", id="key"),
        pytest.param(GOOD.replace("bb.token", "gone"), 5, "gone", id="token file"),
        pytest.param(
            GOOD.replace('app_id = 1', 'app_id = 1\nowners = ["other"]'), 14, "mints for acme",
            id="owner",
        ),
        pytest.param(
            GOOD.replace("bb.token\"", "bb.token\"\nrepositories = [\"t/b\"]"), 18, "t/a",
            id="a static token for something else",
        ),
        pytest.param('audit_file = "gone/audit"\n' + GOOD, 1, "is not there", id="audit"),
        pytest.param('database = "sqlite:///gone/b.db"\n' + GOOD, 1, "is not there", id="database"),
        pytest.param('database = "mysql://x/y"\n' + GOOD, 1, "neither", id="kind of database"),
        pytest.param('encryption_key_file = "w1.secret"\n' + GOOD, 1, "", id="encryption key"),
        pytest.param('trusted_proxies = ["x"]\n' + GOOD, 1, "not a network", id="proxies"),
        pytest.param(GOOD + "[admin]\n", 21, "lets nobody in", id="admin"),
        pytest.param(
            GOOD + '[[issuer]]\nurl = "https://i.example"\naudience = "a"\n'
            'jwks_file = "w1.secret"\n', 21, "is no key set", id="issuer's keys",
        ),
        pytest.param(
            GOOD + '[[issuer]]\nurl = "https://i.example"\naudience = "a"\n'
            'algorithms = ["HS256"]\n', 21, "algorithms", id="issuer's algorithm",
        ),
        pytest.param(
            GOOD.replace('secret_file = "w1.secret"', "session_hmac = true"), None,
            "needs session_secret_file", id="session secret",
        ),
        pytest.param("[[forge]]\nkind = 7\n", 2, "", id="form"),
    ],
)  # fmt: skip
def test_each_mistake_is_found_with_its_line(check, text, line, cause):
    """Exit code 1; one failure, with its line and cause."""
    code, checks = check(text)
    found = failures(checks)

    assert (code, len(found)) == (1, 1), found
    message = found[0][2]
    assert cause in message
    if line is not None:
        assert f"broker.toml:{line}: " in message


def test_all_mistakes_are_found_at_once(check):
    """One wrong file does not hide the next."""
    code, checks = check(
        GOOD.replace("app.pem", "gone.pem").replace("bb.token", "gone.token") + "[admin]\n"
    )

    assert code == 1
    assert [name for name, _, _ in failures(checks)] == [
        "administrators",
        "forge github:github.com",
        "forge static:bitbucket.org",
    ]


def test_a_secret_that_everybody_may_read(check, tmp_path):
    """A warning with the command that mends it; the exit code stays 0."""
    (tmp_path / "app.pem").chmod(0o644)
    (tmp_path / "w1.secret").chmod(0o604)
    code, checks = check(GOOD)

    assert code == 0
    assert [(c["code"], c["fix"]) for c in checks if c["status"] == "warn"] == [
        ("public-secret", f"chmod 600 {tmp_path / 'w1.secret'}"),
        ("public-secret", f"chmod 600 {tmp_path / 'app.pem'}"),
    ]


def test_the_report_for_people(tmp_path, capsys):
    """What is wrong comes first, with what to do; the last line counts."""
    path = tmp_path / "broker.toml"
    path.write_text("[admin]\n")

    assert main(["broker", "check", "--config", str(path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"fail  administrators: {path}:1: [admin] lets nobody in [")
    assert lines[1].startswith("      fix: ")
    assert lines[-1].startswith("1 fail, ")


@pytest.fixture(scope="module")
def world():
    """A GitHub with acme/app and acme/lib in the App's installation, and other/app outside."""
    with GitHubAppWorld() as world:
        yield world


def live(world, *repositories, permissions='{ contents = "write" }'):
    forge = (
        f'[[forge]]\nkind = "github"\nhost = "{world.forge.host}"\napi_url = "{world.forge.url}"\n'
        'app_id = 12345\nprivate_key_file = "app.pem"\n'
    )
    return forge + WORKSPACE + grant(world.forge.host, *repositories, permissions=permissions)


def test_the_forge_confirms_what_is_granted(check, world):
    """Each repository that a grant names is asked for, and one that does not exist is refused."""
    code, checks = check(live(world, "acme/app", "acme/l*"), "--live")

    assert (code, failures(checks)) == (0, [])
    host = world.forge.host
    names = [c["name"] for c in checks]
    assert f"{host}/acme/app" in names
    assert any(name.startswith(f"must refuse {host}/acme/relay-check-") for name in names)


@pytest.mark.parametrize(
    ("repositories", "permissions", "code"),
    [
        pytest.param(["other/app"], '{ contents = "write" }', "FORGE_NOT_INSTALLED", id="owner"),
        pytest.param(
            ["acme/app"], '{ contents = "write", actions = "write" }', "permission-missing",
            id="permission",
        ),
    ],
)  # fmt: skip
def test_the_forge_denies_what_is_granted(check, world, repositories, permissions, code):
    """A grant that the forge cannot serve is a failure before the first push."""
    exit_code, checks = check(live(world, *repositories, permissions=permissions), "--live")

    assert exit_code == 1
    assert [(name, found) for name, found, _ in failures(checks)] == [
        (f"{world.forge.host}/{repositories[0]}", code)
    ]


def test_a_repository_that_must_be_refused(check, world):
    """Refused by every policy and by the forge is ok; granted, or within the App's reach, not."""
    host = world.forge.host
    refused = check(live(world, "acme/app"), "--must-refuse", f"{host}/other/app")
    granted = check(live(world, "acme/app"), "--must-refuse", f"{host}/acme/app")
    reachable = check(live(world, "acme/app"), "--must-refuse", f"{host}/acme/lib")

    assert (refused[0], failures(refused[1])) == (0, [])
    assert granted[0] == reachable[0] == 1
    assert [found[1:] for found in failures(granted[1])] == [("not-refused", "granted to w1")]
    assert [found[1:] for found in failures(reachable[1])] == [
        ("not-refused", f"github:{host} could mint for it")
    ]


def test_a_forge_in_trouble_is_neither_yes_nor_no(check, world):
    """A probe that must be refused is no success because the forge does not answer."""
    world.faults.inject(path=LOOKUPS, status=503, times=None)
    try:
        code, checks = check(live(world, "acme/l*"), "--live")
    finally:
        world.faults.clear()

    assert code == 1
    [(name, _, _)] = failures(checks)
    assert name.startswith("must refuse ")


@pytest.mark.parametrize("grants", [grant("{host}", "acme/l*"), ""], ids=["only a glob", "none"])
def test_an_integration_that_the_forge_does_not_know(check, world, grants):
    """A rejected key is no refusal of a repository, and found without any grant that names one."""
    forge = live(world).partition(WORKSPACE)[0].replace("12345", "54321")
    workspace = WORKSPACE + grants.replace("{host}", world.forge.host)
    code, checks = check(forge + workspace, "--live")

    assert code == 1
    [(name, found, _)] = failures(checks)
    assert (name.startswith("must refuse "), found) == (True, "FORGE_APP_REJECTED")


def test_a_forge_that_nobody_is_granted_anything_at(check, world):
    """It is asked as well, and has to refuse what does not exist."""
    forge = live(world).partition(WORKSPACE)[0]
    code, checks = check(forge, "--live")

    assert (code, failures(checks)) == (0, [])
    assert any(c["name"].startswith(f"must refuse {world.forge.host}/") for c in checks)


def test_a_repository_to_refuse_that_is_none(tmp_path, capsys):
    """A mistyped --must-refuse is said, instead of being refused as wished."""
    (tmp_path / "broker.toml").write_text("")
    path = str(tmp_path / "broker.toml")

    assert main(["broker", "check", "--config", path, "--must-refuse", "acme/app"]) == 2
    assert "host/owner/name" in capsys.readouterr().err
