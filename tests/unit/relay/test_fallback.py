"""The local sources: which host each is for, what each takes, and how each fails."""

import time
from pathlib import Path

import pytest
from werkzeug import Request, Response

from git_credential_relay.credential.forge import FORGEJO, GITHUB, GITLAB, Forge, Target
from git_credential_relay.errors import ConfigError, NoCredentialError, RelayError, SourceError
from git_credential_relay.relay.acquire import Acquirer
from git_credential_relay.relay.cache.memory import MemoryCache
from git_credential_relay.relay.fallback import LocalSources
from git_credential_relay.secret import Secret, token_sha256
from git_credential_relay.trace import Trace
from tests.fakes.configs import (
    CODEBERG,
    GITHUB_COM,
    GITHUB_ENTERPRISE,
    GITLAB_COM,
    make_config,
)
from tests.fakes.fake_clock import FakeClock
from tests.fakes.raw_server import closed_port

EVERYWHERE = {
    "GH_TOKEN": "gh-token",
    "GITHUB_TOKEN": "github-token",
    "GIT_TOKEN": "git-token",
    "GITHUB_CLI_PAT": "cli-pat",
    "GITLAB_TOKEN": "gitlab-token",
    "FORGE_TOKEN": "forge-token",
    "FORGE_PASS": "forge-pass",
}
ORDER = [*EVERYWHERE, "hosts.yml", "gh"]


def find(name, forge, username=None, seconds=20.0, **variables):
    """What the source called `name` has for `forge`, or its error."""
    sources = LocalSources(make_config(**variables), FakeClock().deadline(seconds), username)
    return sources.find(name, forge)


def pair(credential) -> tuple[str, str]:
    return credential.username, credential.password.reveal()


def failure(name, forge=GITHUB_COM, **variables) -> tuple[str, str]:
    with pytest.raises(SourceError) as caught:
        find(name, forge, **variables)
    return caught.value.code, caught.value.message


def acquirer(**variables) -> Acquirer:
    def no_api(target, deadline, refused_sha256):
        raise AssertionError("the API is not configured")

    return Acquirer(make_config(**variables), MemoryCache(), no_api, FakeClock().clock, Trace())


def tried(target: Target, **variables) -> list[tuple[str, str]]:
    """The sources that were tried for `target` in vain, each with its code."""
    with pytest.raises(NoCredentialError) as caught:
        acquirer(**variables).acquire(target)
    return [(name, error.code) for name, error in caught.value.tried]


GITHUBS = ["GH_TOKEN", "GITHUB_TOKEN", "GIT_TOKEN", "GITHUB_CLI_PAT"]


@pytest.mark.parametrize(
    ("forge", "expected"),
    [
        (GITHUB_COM, [*GITHUBS, "hosts.yml", "gh"]),
        (GITHUB_ENTERPRISE, ["hosts.yml", "gh"]),
        (Forge(GITHUB, "https", "github.com:8443"), ["hosts.yml", "gh"]),
        (Forge(GITHUB, "https", "github.com.evil.example"), ["hosts.yml", "gh"]),
        (Forge(GITHUB, "http", "127.0.0.1:3005"), []),
        (GITLAB_COM, []),
        (Forge(GITLAB, "https", "git.example", "gitlab"), ["GITLAB_TOKEN"]),
        (Forge(GITLAB, "https", "git.example"), []),
        (Forge(GITLAB, "http", "git.example", "gitlab"), []),
        (Forge(GITLAB, "https", "git.example:8443", "gitlab"), []),
        (CODEBERG, []),
        (Forge(FORGEJO, "http", "127.0.0.1:3000"), ["FORGE_TOKEN", "FORGE_PASS"]),
        (Forge(FORGEJO, "http", "127.0.0.1:3001"), []),
        (Forge(FORGEJO, "https", "127.0.0.1:3000"), []),
    ],
    ids=str,
)
def test_each_source_is_for_its_own_host(forge, expected):
    """With every variable set, a host is offered only those that belong to it."""
    config = make_config(
        **EVERYWHERE,
        GITLAB_INSTANCE_URL="https://git.example/gitlab",
        FORGE_URL="http://127.0.0.1:3000",
    )
    sources = LocalSources(config, FakeClock().deadline())

    assert [name for name in ORDER if sources.serves(name, forge)] == expected


@pytest.mark.parametrize(
    ("variables", "forge"),
    [
        ({}, GITLAB_COM),
        ({"GITLAB_HOST": "git.example"}, Forge(GITLAB, "https", "git.example")),
        ({"GITLAB_INSTANCE_URL": "https://git.example"}, Forge(GITLAB, "https", "git.example")),
    ],
    ids=["none configured", "by host", "by address"],
)
def test_the_gitlab_token_is_for_one_gitlab(variables, forge):
    """It belongs to the configured GitLab, or to gitlab.com when there is none."""
    sources = LocalSources(make_config(GITLAB_TOKEN="t", **variables), FakeClock().deadline())
    served = [
        str(f)
        for f in (GITLAB_COM, Forge(GITLAB, "https", "git.example"), GITHUB_COM)
        if sources.serves("GITLAB_TOKEN", f)
    ]

    assert served == [str(forge)]


@pytest.mark.parametrize(
    ("name", "forge", "expected"),
    [
        ("GH_TOKEN", GITHUB_COM, ("x-access-token", "gh-token")),
        ("GITHUB_TOKEN", GITHUB_COM, ("x-access-token", "github-token")),
        ("GIT_TOKEN", GITHUB_COM, ("x-access-token", "git-token")),
        ("GITHUB_CLI_PAT", GITHUB_COM, ("x-access-token", "cli-pat")),
        ("GITLAB_TOKEN", GITLAB_COM, ("oauth2", "gitlab-token")),
    ],
)
def test_what_a_variable_gives(name, forge, expected):
    """The token with the user name its forge wants, its hash, and no invented expiry."""
    credential = find(name, forge, **EVERYWHERE)

    assert pair(credential) == expected
    assert credential.token_sha256 == token_sha256(Secret(expected[1]))
    assert (credential.expires_at, credential.source) == (None, name)


@pytest.mark.parametrize("value", ["", "null", "seed-me"])
def test_a_placeholder_is_not_a_token(value):
    """What templates leave behind counts as not set."""
    assert failure("GH_TOKEN", GH_TOKEN=value) == ("not-set", "not set")


def test_a_token_in_a_file_is_read_at_each_use(tmp_path):
    """A rotated file counts at once."""
    path = tmp_path / "token"
    tokens = []
    for token in ("one", "two"):
        path.write_text(token)
        tokens.append(find("GH_TOKEN", GITHUB_COM, GH_TOKEN_FILE=str(path)).password.reveal())

    assert tokens == ["one", "two"]


def test_a_token_file_that_is_gone_says_so(tmp_path):
    """It is a configuration error of that source."""
    with pytest.raises(ConfigError, match="GH_TOKEN_FILE"):
        find("GH_TOKEN", GITHUB_COM, GH_TOKEN_FILE=f"{tmp_path}/none")


# --- order, on and off


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ({}, "gh-token"),
        ({"GIT_CREDENTIAL_RELAY_FALLBACK": "GITHUB_CLI_PAT,GH_TOKEN"}, "cli-pat"),
        ({"GIT_CREDENTIAL_RELAY_FALLBACK": "FORGE_PASS, GIT_TOKEN"}, "git-token"),
    ],
    ids=["default", "turned round", "another one first"],
)
def test_the_first_source_that_has_one_serves(setting, expected):
    """The order is configurable; sources of other hosts are passed over."""
    credential = acquirer(**EVERYWHERE, **setting).acquire(Target(GITHUB_COM, None))

    assert credential.password.reveal() == expected


def test_the_default_order(tmp_path):
    """Variables before files, gh last."""
    assert tried(Target(GITHUB_COM, None), HOME=str(tmp_path), PATH=str(tmp_path)) == [
        *((name, "not-set") for name in GITHUBS),
        ("hosts.yml", "no-file"),
        ("gh", "not-installed"),
        ("relay API", "not-configured"),
    ]


def test_switched_off_none_is_tried():
    """`off` leaves the API alone, and it is not set up here."""
    expected = [("relay API", "not-configured")]
    variables = EVERYWHERE | {"GIT_CREDENTIAL_RELAY_FALLBACK": "off"}

    assert tried(Target(GITHUB_COM, None), **variables) == expected


def test_an_unknown_source_is_a_configuration_error():
    """A misspelt name is told, with the names there are."""
    with pytest.raises(ConfigError, match="knows no 'GHTOKEN'"):
        acquirer(GIT_CREDENTIAL_RELAY_FALLBACK="GHTOKEN").acquire(Target(GITHUB_COM, None))


def test_a_refused_local_token_lets_the_next_one_try():
    """When the forge has refused a source's token, another source may have a good one."""
    credential = acquirer(**EVERYWHERE).acquire(
        Target(GITHUB_COM, None), token_sha256(Secret("gh-token"))
    )

    assert pair(credential) == ("x-access-token", "github-token")


def test_one_failing_source_never_stops_the_chain(tmp_path, gh):
    """Unreadable files, broken YAML and a failing gh each leave the next one its turn."""
    hosts = tmp_path / ".config/gh/hosts.yml"
    hosts.parent.mkdir(parents=True)
    hosts.write_text("github.com: [")
    gh.script("exit 1")
    variables = {
        "GIT_CREDENTIAL_RELAY_FALLBACK": "GH_TOKEN,GITHUB_TOKEN,hosts.yml,gh,GIT_TOKEN",
        "GH_TOKEN_FILE": f"{tmp_path}/none",
        "GITHUB_TOKEN": "two words",
        "HOME": str(tmp_path),
        "PATH": gh.path,
    }
    failures = tried(Target(GITHUB_COM, None), **variables)
    credential = acquirer(**variables, GIT_TOKEN="t").acquire(Target(GITHUB_COM, None))

    assert failures == [
        ("GH_TOKEN", "bad-config"),
        ("GITHUB_TOKEN", "bad-config"),
        ("hosts.yml", "unreadable-file"),
        ("gh", "no-token"),
        ("GIT_TOKEN", "not-set"),
        ("relay API", "not-configured"),
    ]
    assert credential.password == Secret("t")


# --- gh's hosts.yml


def hosts_yml(home: Path, content: str | bytes) -> dict[str, str]:
    """gh's file below `home`, and the variables with which it is found."""
    path = home / ".config/gh/hosts.yml"
    path.parent.mkdir(parents=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return {"HOME": str(home)}


@pytest.mark.parametrize(
    ("content", "forge", "token"),
    [
        ("github.com:\n  oauth_token: gho_a\n", GITHUB_COM, "gho_a"),
        ("github.com:\n  token: ghs_b\n", GITHUB_COM, "ghs_b"),
        ("github.com:\n  token: ghs_b\n  oauth_token: gho_a\n", GITHUB_COM, "gho_a"),
        ("github.com:\n  token: ghs_b\n  oauth_token:\n", GITHUB_COM, "ghs_b"),
        ("github.com:\n  oauth_token: null\n  token: ghs_b\n", GITHUB_COM, "ghs_b"),
        ("github.com:\n  oauth_token: 0123456789\n", GITHUB_COM, "0123456789"),
        ("github.com: {oauth_token: 'gho_a', user: x}\nghe.example: {}", GITHUB_COM, "gho_a"),
        (
            "github.com:\n  oauth_token: gho_a\nghe.example:\n  oauth_token: gho_e\n",
            GITHUB_ENTERPRISE,
            "gho_e",
        ),
        ("github.com:\n  added: 2026-99-99\n  oauth_token: gho_a\n", GITHUB_COM, "gho_a"),
    ],
    ids=[
        "gh's key",
        "agent-relay's key",
        "both keys",
        "an empty one",
        "a null one",
        "digits only",
        "flow style",
        "enterprise",
        "a date that is none",
    ],
)
def test_the_token_in_hosts_yml(tmp_path, content, forge, token):
    """Both keys are read, gh's own first, for exactly the host that is asked for."""
    credential = find("hosts.yml", forge, **hosts_yml(tmp_path, content))

    assert (pair(credential), credential.source) == (("x-access-token", token), "hosts.yml")


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("", "no-token"),
        ("github.com:\n  user: x\n", "no-token"),
        ("github.com:\n", "no-token"),
        ("github.com: text\n", "no-token"),
        ("- github.com\n", "no-token"),
        ("just text", "no-token"),
        ("gitlab.com:\n  oauth_token: t\n", "no-token"),
        ("'*':\n  oauth_token: t\n", "no-token"),
        ("github.com:\n  oauth_token: [t]\n", "no-token"),
        ("github.com:\n  oauth_token: two words\n", "no-token"),
        ('github.com:\n  oauth_token: "a\\nb"\n', "no-token"),
        ("github.com:\n  oauth_token: seed-me\n", "no-token"),
        ("github.com:\n\toauth_token: t\n", "unreadable-file"),
        ("github.com: {oauth_token: t", "unreadable-file"),
        ("? [a]\n: b\n", "unreadable-file"),
        ("a: &a [*a]\n", "unreadable-file"),
        ("a: !!python/object/apply:os.getcwd []\n", "no-token"),
        (b"\xff\xfe\x00", "unreadable-file"),
        (b"github.com:\n  oauth_token: \x00\n", "unreadable-file"),
        ("[" * 5000, "unreadable-file"),
        ("a: !!bool x\nb: !!int ''\nc: !!timestamp x\n", "no-token"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_hosts_yml_without_a_token(tmp_path, content, code):
    """Whatever else the file holds, the source fails with a code and runs nothing."""
    assert failure("hosts.yml", **hosts_yml(tmp_path, content))[0] == code


def test_a_hosts_yml_that_cannot_be_read(tmp_path):
    """A directory in its place is a failure like any other."""
    (tmp_path / ".config/gh/hosts.yml").mkdir(parents=True)

    assert failure("hosts.yml", HOME=str(tmp_path))[0] == "unreadable-file"


def test_where_hosts_yml_is_looked_for(tmp_path):
    """gh's own directory first, then XDG's, then the home's; the first token serves."""
    variables, tokens = {}, []
    for name, below in (
        ("HOME", "home/.config/gh"),
        ("XDG_CONFIG_HOME", "xdg/gh"),
        ("GH_CONFIG_DIR", "own"),
    ):
        path = tmp_path / below / "hosts.yml"
        path.parent.mkdir(parents=True)
        path.write_text(f"github.com: {{token: in-{name}}}")
        variables[name] = str(tmp_path / below.split("/")[0])
        tokens.append(find("hosts.yml", GITHUB_COM, **variables).password.reveal())

    assert tokens == ["in-HOME", "in-XDG_CONFIG_HOME", "in-GH_CONFIG_DIR"]


def test_the_next_hosts_yml_serves_when_one_is_broken(tmp_path):
    """A broken file does not hide the good one behind it."""
    (tmp_path / "gh").mkdir()
    (tmp_path / "gh/hosts.yml").write_text("[")
    variables = hosts_yml(tmp_path, "github.com: {token: t}")

    credential = find("hosts.yml", GITHUB_COM, XDG_CONFIG_HOME=str(tmp_path), **variables)
    assert credential.password == Secret("t")


@pytest.mark.parametrize("name", ["HOME", "XDG_CONFIG_HOME", "GH_CONFIG_DIR"])
def test_a_relative_place_is_not_looked_in(tmp_path, monkeypatch, name):
    """A work tree's own files are not gh's."""
    monkeypatch.chdir(tmp_path)
    for below in (".config/gh", "gh", ""):
        path = tmp_path / "x" / below / "hosts.yml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("github.com: {token: t}")

    assert failure("hosts.yml", **{name: "x"}) == ("no-file", "no file")


# --- gh itself


class Gh:
    """A small real `gh` in a directory of its own, which notes how it was called."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.log = directory / "log"
        self.path = str(directory)

    def script(self, *lines: str) -> None:
        text = ["#!/bin/sh", f'echo "$@" >"{self.log}"', f'pwd >>"{self.log}"']
        text += [f'/usr/bin/env >>"{self.log}"', *lines]
        executable = self.directory / "gh"
        executable.write_text("\n".join(text) + "\n")
        executable.chmod(0o755)

    @property
    def called(self) -> tuple[str, str, dict[str, str]]:
        """Its arguments, working directory and environment."""
        arguments, directory, *environ = self.log.read_text().splitlines()
        return arguments, directory, dict(line.split("=", 1) for line in environ if "=" in line)


@pytest.fixture
def gh(tmp_path) -> Gh:
    directory = tmp_path / "gh-bin"
    directory.mkdir()
    return Gh(directory)


def test_gh_is_asked_for_the_host(gh, tmp_path, monkeypatch):
    """gh runs outside the work tree, knows its home, and sees no token of ours."""
    gh.script("echo gho_from_gh")
    monkeypatch.chdir(tmp_path)
    own = {
        "GH_TOKEN": "x",
        "GITHUB_TOKEN": "x",
        "GH_ENTERPRISE_TOKEN": "x",
        "GITHUB_ENTERPRISE_TOKEN": "x",
    }
    credential = find("gh", GITHUB_ENTERPRISE, PATH=gh.path, HOME=str(tmp_path), **own)

    arguments, directory, environ = gh.called
    assert (pair(credential), credential.source) == (("x-access-token", "gho_from_gh"), "gh")
    assert (arguments, directory) == ("auth token --hostname ghe.example", "/")
    assert set(own) & set(environ) == set()
    assert environ["HOME"] == str(tmp_path)


@pytest.mark.parametrize("secret", ["WORKSPACE_TOKEN", "GITLAB_TOKEN", "FORGE_TOKEN", "FORGE_PASS"])
def test_gh_does_not_see_the_other_secrets(gh, secret):
    """Another program gets nothing it does not need."""
    gh.script("echo gho_from_gh")
    find("gh", GITHUB_COM, PATH=gh.path, **{secret: "canary"})

    assert "canary" not in gh.log.read_text()


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["exit 1"], ("no-token", "no token")),
        (["echo gho_x", "exit 1"], ("no-token", "no token")),
        (["echo"], ("no-token", "no token")),
        (["echo two words"], ("no-token", "no token")),
        (["printf 'a\\nb\\n'"], ("no-token", "no token")),
        (["printf '\\377'"], ("no-token", "no token")),
        (
            ["printf 'no oauth\\033[31m token\\nfound' >&2", "exit 1"],
            ("no-token", "no token: no oauth [31m token found"),
        ),
    ],
    ids=["fails", "fails with a token", "empty", "words", "lines", "not text", "says why"],
)
def test_a_gh_without_a_token(gh, lines, expected):
    """Only one word and exit 0 is a token; its reason is shown on one safe line."""
    gh.script(*lines)

    assert failure("gh", PATH=gh.path) == expected


def test_a_gh_that_cannot_be_run(gh):
    """An executable of another kind is a failure like any other."""
    (gh.directory / "gh").write_bytes(b"\x7fELF not really")
    (gh.directory / "gh").chmod(0o755)

    assert failure("gh", PATH=gh.path)[0] == "gh-failed"


@pytest.mark.parametrize("path", ["", ".", "gh-bin", "gh-bin:.::nowhere", "./gh-bin:"])
def test_a_relative_path_entry_is_not_searched(gh, tmp_path, monkeypatch, path):
    """A program in the work tree is never run."""
    gh.script("echo gho_from_the_work_tree")
    monkeypatch.chdir(tmp_path if "gh-bin" in path else gh.directory)
    absolute = f"{tmp_path}/empty"
    (tmp_path / "empty").mkdir()

    assert failure("gh", PATH=f"{path}:{absolute}") == ("not-installed", "not installed")
    assert not gh.log.exists()


def test_a_gh_that_hangs_is_left_when_time_is_up(gh):
    """The deadline ends it, also when its own child holds the pipe."""
    gh.script("/bin/sleep 30", "echo late")
    started = time.monotonic()
    with pytest.raises(SourceError) as caught:
        find("gh", GITHUB_COM, seconds=0.3, PATH=gh.path)

    assert (caught.value.code, time.monotonic() - started < 1) == ("gh-timeout", True)


def test_a_gh_that_hangs_is_left_after_two_seconds(gh):
    """With more time in hand gh gets 2 s of it."""
    gh.script("exec /bin/sleep 30")
    started = time.monotonic()
    code, _ = failure("gh", PATH=gh.path)

    assert code == "gh-timeout"
    assert time.monotonic() - started == pytest.approx(2.2, abs=0.5)


def test_without_time_gh_is_not_started(gh):
    """When the API has used up the deadline there is nothing left for gh."""
    gh.script("echo gho_x")
    with pytest.raises(SourceError) as caught:
        find("gh", GITHUB_COM, seconds=0.0, PATH=gh.path)

    assert (caught.value.code, gh.log.exists()) == ("deadline-exceeded", False)


# --- Forgejo


class Forgejo:
    """Answers GET /api/v1/user with `login`, and notes the authorisation."""

    def __init__(self, httpserver) -> None:
        self.url = httpserver.url_for("/forge")
        self.status = 200
        self.login: object = "dev-bot"
        self.seen: list[str] = []
        httpserver.expect_request("/forge/api/v1/user").respond_with_handler(self._answer)

    def _answer(self, request: Request) -> Response:
        self.seen.append(request.headers["Authorization"])
        return Response(f'{{"login": "{self.login}"}}', self.status)

    def find(self, name: str, username: str | None = None, **variables: str):
        config = make_config(FORGE_URL=self.url, **variables)
        forge = config.forgejo
        assert forge is not None
        return LocalSources(config, FakeClock().deadline(), username).find(name, forge)


@pytest.fixture
def forgejo(httpserver) -> Forgejo:
    return Forgejo(httpserver)


@pytest.mark.parametrize(("name", "secret"), [("FORGE_TOKEN", "tok"), ("FORGE_PASS", "pass")])
def test_the_login_is_found_with_the_forge_token(forgejo, name, secret):
    """Token and password both go with the login the forge tells, by the token alone."""
    credential = forgejo.find(name, FORGE_TOKEN="tok", FORGE_PASS="pass")

    assert (pair(credential), forgejo.seen) == (("dev-bot", secret), ["token tok"])


def test_the_forges_own_login_wins_over_the_url(forgejo):
    """The forge knows better than a remote URL whose token it is."""
    assert pair(forgejo.find("FORGE_TOKEN", "somebody", FORGE_TOKEN="tok"))[0] == "dev-bot"


@pytest.mark.parametrize("status", [401, 404, 500])
def test_the_user_of_the_url_serves_when_the_forge_does_not_tell(forgejo, status):
    """A token that may not read its own user still works for who names the user."""
    forgejo.status = status

    assert pair(forgejo.find("FORGE_TOKEN", "me", FORGE_TOKEN="tok")) == ("me", "tok")


def test_a_password_with_the_user_of_the_url(forgejo):
    """Without a token nobody is asked."""
    assert pair(forgejo.find("FORGE_PASS", "me", FORGE_PASS="pw")) == ("me", "pw")
    assert forgejo.seen == []


@pytest.mark.parametrize(
    "variables",
    [{"FORGE_TOKEN": "tok", "FORGE_PASS": "pw"}, {"FORGE_PASS": "pw"}],
    ids=["refused token", "no token"],
)
def test_a_login_is_never_guessed(forgejo, variables):
    """Without a login there is no credential, and the hint says what to do."""
    forgejo.status = 403
    with pytest.raises(SourceError) as caught:
        forgejo.find("FORGE_PASS", **variables)

    assert (caught.value.code, "FORGE_TOKEN" in (caught.value.hint or "")) == (
        "forge-user-unknown",
        True,
    )


def test_a_forge_that_is_down_fails_its_sources_alone():
    """Both sources fail with a code, and the chain ends with its list."""
    url = f"http://127.0.0.1:{closed_port()}"
    config = make_config(FORGE_URL=url)
    assert config.forgejo is not None
    names = tried(Target(config.forgejo, "o/r"), FORGE_URL=url, FORGE_TOKEN="tok", FORGE_PASS="pw")

    assert names == [
        ("FORGE_TOKEN", "forge-user-unknown"),
        ("FORGE_PASS", "forge-user-unknown"),
        ("relay API", "not-configured"),
    ]


def test_no_error_shows_a_token(gh, tmp_path):
    """Whatever a source finds and cannot use stays out of its error."""
    gh.script("echo canary canary", "echo canary >&2")
    variables = hosts_yml(tmp_path, "github.com: {oauth_token: canary canary}")
    texts = []
    for name in ("hosts.yml", "GH_TOKEN"):
        with pytest.raises(RelayError) as caught:
            find(name, GITHUB_COM, PATH=gh.path, GH_TOKEN="canary canary", **variables)
        texts.append(f"{caught.value.message} {caught.value.hint} {caught.value.details}")

    assert "canary" not in "".join(texts)
