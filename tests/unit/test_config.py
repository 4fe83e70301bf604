"""Configuration: where values come from, what is refused and how that is said."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer

from git_credential_relay.config import SYSTEM_FILES, Config, load, user_files
from git_credential_relay.env_file import read_env_file
from git_credential_relay.errors import ConfigError
from git_credential_relay.secret import Secret
from git_credential_relay.settings import SETTINGS
from tests.fakes.program import run_program

RELAY = "GIT_CREDENTIAL_RELAY_"


def configure(**environ: str) -> Config:
    """The configuration of an environment, without any file."""
    return load(environ, files=[])


def shown(config: Config, name: str) -> tuple[str, str] | None:
    """A setting's value and origin."""
    value = config.value(name)
    return (value.text, value.origin) if value else None


@pytest.fixture
def files(tmp_path: Path):
    """Writes relay.env files, best first, and returns their paths."""

    def write(*texts: str) -> list[str]:
        paths = [tmp_path / f"{number}.env" for number in range(1, len(texts) + 1)]
        for path, text in zip(paths, texts, strict=True):
            path.write_text(text)
        return [str(path) for path in paths]

    return write


def test_nothing_configured_is_valid():
    """Without any setting there is a configuration: defaults, github.com and gitlab.com."""
    config = configure()
    values = {name: value for name, value in vars(config).items() if not name.startswith("_")}
    fields = [config.token_fields(use) for use in ("git", "api")]
    forges = [(f.kind, f.url, f.is_named) for f in values.pop("forges")]
    secret = values.pop("workspace_token")
    dirs = values.pop("cache_dirs")

    assert forges == [
        ("github", "https://github.com", True),
        ("gitlab", "https://gitlab.com", False),
    ]
    assert (secret.is_set(), secret.read(), secret.origin) == (False, None, "not set")
    assert dirs == [
        f"/run/user/{os.geteuid()}/git-credential-relay",
        f"/dev/shm/git-credential-relay-{os.geteuid()}",
    ]
    assert values == {
        "environ": {},
        "allow_http": False,
        "api_url": None,
        "api_path": "/api/git/token",
        "api_method": "GET",
        "workspace_id": None,
        "use_keyring": False,
        "deadline": 20.0,
        "min_lifetime": 600.0,
        "cache": "tmpfs",
        "fail_closed": False,
        "socket": None,
        "ca_file": None,
        "debug": False,
        "gitlab": None,
        "forgejo": None,
        "fallback": [
            "GH_TOKEN",
            "GITHUB_TOKEN",
            "GIT_TOKEN",
            "GITHUB_CLI_PAT",
            "GITLAB_TOKEN",
            "FORGE_TOKEN",
            "FORGE_PASS",
            "hosts.yml",
            "gh",
        ],
    }
    assert fields == [["userToken", "token"]] * 2


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        pytest.param("flag environment first second", "flag", id="flag first"),
        pytest.param("environment first second", "environment", id="then the environment"),
        pytest.param("first second", "first", id="then the first file"),
        pytest.param("second", "second", id="then the next file"),
        pytest.param("", None, id="then nothing"),
    ],
)
def test_higher_layer_wins(files, layers, expected):
    """A flag beats the environment, which beats the files in their order; each value says where
    it is from."""
    paths = files(*(f"WORKSPACE_ID={n}\n" if n in layers else "" for n in ("first", "second")))
    origins = {
        "flag": "--workspace-id",
        "environment": "WORKSPACE_ID in the environment",
        "first": f"{paths[0]}:1 (WORKSPACE_ID)",
        "second": f"{paths[1]}:1 (WORKSPACE_ID)",
    }
    flags = {"WORKSPACE_ID": "flag"} if "flag" in layers else {}
    environ = {"WORKSPACE_ID": "environment"} if "environment" in layers else {}
    config = load(environ, flags, paths)

    assert config.workspace_id == expected
    assert shown(config, "WORKSPACE_ID") == (expected and (expected, origins[expected]))


def test_layers_are_merged_setting_by_setting(files):
    """A file that does not have the first setting may still have the second."""
    paths = files("# the API\n\nCLOUD_API_URL=https://a.example\n", "WORKSPACE_ID=b\n")
    config = load({"GIT_CREDENTIAL_RELAY_DEADLINE": "5"}, None, paths)

    assert (config.api_url, config.workspace_id, config.deadline) == ("https://a.example", "b", 5)
    assert shown(config, "CLOUD_API_URL") == (
        "https://a.example",
        f"{paths[0]}:3 (CLOUD_API_URL)",
    )


@pytest.mark.parametrize(
    ("environ", "name", "expected"),
    [
        pytest.param(
            {"AGENT_RELAY_CLOUD_URL": "https://a.example"},
            "CLOUD_API_URL",
            ("https://a.example", "AGENT_RELAY_CLOUD_URL in the environment"),
            id="agent-relay's name of the API",
        ),
        pytest.param(
            {"AGENT_RELAY_CLOUD_URL": "https://a.example", "CLOUD_API_URL": "https://b.example"},
            "CLOUD_API_URL",
            ("https://b.example", "CLOUD_API_URL in the environment"),
            id="first spelling wins",
        ),
        pytest.param(
            {"AGENT_RELAY_CLOUD_URL": "https://a.example", "CLOUD_API_URL": "seed-me"},
            "CLOUD_API_URL",
            ("https://a.example", "AGENT_RELAY_CLOUD_URL in the environment"),
            id="an absent first spelling does not",
        ),
        pytest.param(
            {"GH_CREDENTIAL_DEBUG": "1"},
            "GIT_CREDENTIAL_DEBUG",
            ("1", "GH_CREDENTIAL_DEBUG in the environment"),
            id="debug",
        ),
        pytest.param(
            {"https_proxy": "http://proxy:1"},
            "HTTPS_PROXY",
            ("http://proxy:1", "https_proxy in the environment"),
            id="lower-case proxy",
        ),
        pytest.param(
            {"ALL_PROXY": "http://proxy:1"},
            "HTTPS_PROXY",
            ("http://proxy:1", "ALL_PROXY in the environment"),
            id="proxy for all",
        ),
    ],
)
def test_other_spellings_are_the_same_setting(environ, name, expected):
    """An alias sets the setting, and the origin names the spelling that was used."""
    assert shown(configure(**environ), name) == expected


def test_alias_in_a_higher_layer_beats_the_name_in_a_lower_one(files):
    """The layer decides, not the spelling."""
    paths = files("CLOUD_API_URL=https://file.example\n")
    config = load({"AGENT_RELAY_CLOUD_URL": "https://environment.example"}, None, paths)

    assert config.api_url == "https://environment.example"


@pytest.mark.parametrize("text", ["", " ", "null", "seed-me"])
@pytest.mark.parametrize("layer", ["flag", "environment", "file"])
def test_templates_nobody_filled_in_count_as_absent(files, layer, text):
    """Empty, `null` and `seed-me` set nothing, in whatever layer; the next one is asked."""
    names = ("CLOUD_API_URL", "WORKSPACE_ID", "GIT_CREDENTIAL_RELAY_CACHE")
    values = dict.fromkeys(names, text)
    lines = "".join(f"{name}={text}\n" for name in names)
    paths = files(lines if layer == "file" else "", "WORKSPACE_ID=below\n")
    config = load(
        values if layer == "environment" else {}, values if layer == "flag" else None, paths
    )

    assert (config.api_url, config.workspace_id, config.cache) == (None, "below", "tmpfs")


@pytest.mark.parametrize("text", ["", "\n", "null\n", "seed-me", "  seed-me  \n"])
def test_secret_file_nobody_filled_in_holds_no_secret(tmp_path, text):
    """A secret's file that holds a placeholder gives no secret."""
    path = tmp_path / "secret"
    path.write_text(text)
    source = configure(WORKSPACE_TOKEN_FILE=str(path)).workspace_token

    assert (source.is_set(), source.read()) == (True, None)


FILE = """\
# a comment
\t
export CLOUD_API_URL=https://a.example\r
  WORKSPACE_ID='ws 1'\t
GH_HOST="ghe.example"
SOMEBODY_ELSES=x
WORKSPACE_TOKEN=a=b
GIT_CREDENTIAL_RELAY_CACHE=keyring
GIT_CREDENTIAL_RELAY_CACHE=off"""


def test_lines_of_a_file(files):
    """Comments, blank lines, `export`, one pair of quotes, CRLF, other programs' names and a
    repeated name are taken as a shell or systemd would take them."""
    config = load({}, None, files(FILE))

    assert config.api_url == "https://a.example"
    assert config.workspace_id == "ws 1"
    assert config.workspace_token.read() == Secret("a=b")
    assert config.forges[0].host == "ghe.example"
    assert config.cache == "off"


def test_missing_files_are_no_files(tmp_path):
    """A file or directory that is not there sets nothing."""
    (tmp_path / "plain").write_text("")
    config = load({}, None, [f"{tmp_path}/none/relay.env", f"{tmp_path}/plain/relay.env"])

    assert config.missing_api_setting() == "CLOUD_API_URL"


def test_usual_files_are_read_from_the_users_home(tmp_path):
    """Without `files` the user's own relay.env is read, under XDG_CONFIG_HOME or ~/.config."""
    path = tmp_path / "git-credential-relay/relay.env"
    path.parent.mkdir()
    path.write_text("WORKSPACE_ID=mine\n")

    assert user_files({"HOME": "/h"}) == ["/h/.config/git-credential-relay/relay.env"]
    assert user_files({"HOME": "/h", "XDG_CONFIG_HOME": str(tmp_path)}) == [str(path)]
    assert load({"XDG_CONFIG_HOME": str(tmp_path)}).workspace_id == "mine"


@pytest.mark.parametrize(
    "environ",
    [{}, {"HOME": ""}, {"HOME": "relative"}, {"HOME": "/h", "XDG_CONFIG_HOME": "relative"}],
    ids=str,
)
def test_no_file_is_looked_for_in_the_work_tree(environ):
    """Without a home, or with a relative one, there is no user's file."""
    assert user_files(environ) == []


@pytest.mark.parametrize("layer", ["flag", "environment"])
def test_one_file_instead_of_the_usual_ones(files, layer):
    """--config and its variable name the only file that is read."""
    (path,) = files("WORKSPACE_ID=explicit\n")
    given = {"GIT_CREDENTIAL_RELAY_CONFIG": path}
    config = load(given) if layer == "environment" else load({}, given)

    assert shown(config, "WORKSPACE_ID") == ("explicit", f"{path}:1 (WORKSPACE_ID)")


@pytest.mark.parametrize("text", ["", "seed-me"])
def test_placeholder_names_no_file(text):
    """An unfilled name of a configuration file is no name."""
    assert load({"GIT_CREDENTIAL_RELAY_CONFIG": text}).missing_api_setting() == "CLOUD_API_URL"


def test_directory_of_somebody_else_is_no_error(tmp_path):
    """A user's file that cannot even be looked for (HOME=/root, another uid) sets nothing."""
    hidden = tmp_path / "hidden"
    (hidden / ".config/git-credential-relay").mkdir(parents=True)
    (hidden / ".config/git-credential-relay/relay.env").write_text("WORKSPACE_ID=theirs\n")
    hidden.chmod(0)
    script = """
import os, sys
from git_credential_relay.config import load
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
print(load({"HOME": sys.argv[1]}).workspace_id)
"""
    try:
        done = subprocess.run(
            [sys.executable, "-c", script, str(hidden)],
            capture_output=True,
            text=True,
            check=False,
            cwd=Path(__file__).parents[2],
        )
    finally:
        hidden.chmod(0o700)

    assert (done.stdout, done.stderr) == ("None\n", "")


SECRETS = [setting.name for setting in SETTINGS if setting.is_secret]


@pytest.mark.parametrize("name", SECRETS)
def test_secret_file_is_read_at_each_use(tmp_path, name):
    """Every secret may be in a file, which is read anew whenever the secret is needed."""
    path = tmp_path / "secret"
    path.write_text("first\n")
    config = configure(**{f"{name}_FILE": str(path)})
    read = [config.secret(name).read()]
    path.write_text("  second  ")
    read.append(config.secret(name).read())

    assert read == [Secret("first"), Secret("second")]
    assert config.secret(name).origin == f"{name}_FILE in the environment"


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("layer", ["environment", "file"])
def test_secret_given_twice_in_one_layer_is_refused(files, name, layer):
    """A value and a file at once are an error: nobody could say which one rotates."""
    values = {name: "a", f"{name}_FILE": "/b"}
    (path,) = files("".join(f"{key}={value}\n" for key, value in values.items()))
    origin = f"{name} in the environment" if layer == "environment" else f"{path}:1 ({name})"
    with pytest.raises(ConfigError) as caught:
        load(values if layer == "environment" else {}, None, [path] if layer == "file" else [])

    assert caught.value.message == f"{origin}: {name} and {name}_FILE are both set"


@pytest.mark.parametrize("is_value_higher", [True, False], ids=["value above", "file above"])
def test_higher_form_of_a_secret_replaces_the_lower_one(tmp_path, files, is_value_higher):
    """A secret's value above its file, or its file above its value: the higher one counts."""
    secret = tmp_path / "secret"
    secret.write_text("from-file")
    value, file = {"WORKSPACE_TOKEN": "from-value"}, {"WORKSPACE_TOKEN_FILE": str(secret)}
    higher, lower = (value, file) if is_value_higher else (file, value)
    paths = files("".join(f"{name}={text}\n" for name, text in lower.items()))
    source = load(higher, None, paths).workspace_token

    assert source.read() == Secret("from-value" if is_value_higher else "from-file")
    assert source.origin == f"{next(iter(higher))} in the environment"


def test_secret_file_by_flag(tmp_path):
    """A secret's flag names its file, and is its origin."""
    secret = tmp_path / "secret"
    secret.write_text("s")
    source = load({}, {"WORKSPACE_TOKEN_FILE": str(secret)}, []).workspace_token

    assert (source.read(), source.origin) == (Secret("s"), "--workspace-token-file")


@pytest.mark.parametrize(
    ("content", "mode", "expected"),
    [
        pytest.param(None, 0, "cannot read {path}: No such file or directory", id="missing"),
        pytest.param(b"s", 0o602, "{path} is writable by everybody", id="world-writable"),
        pytest.param(b"\xff", 0o600, "{path} is not UTF-8 text", id="not UTF-8"),
        pytest.param(b"x" * 65537, 0o600, "{path} is larger than 65536 bytes", id="too large"),
        pytest.param("directory", 0, "{path} is not a regular file", id="directory"),
        pytest.param("fifo", 0, "{path} is not a regular file", id="FIFO that nobody writes"),
    ],
)
def test_bad_secret_file_is_one_clear_error(tmp_path, content, mode, expected):
    """A secret file that cannot be used is named together with the variable that points to it,
    when it is read and not before."""
    path = tmp_path / "secret"
    if content == "directory":
        path.mkdir()
    elif content == "fifo":
        os.mkfifo(path)
    elif content is not None:
        path.write_bytes(content)
        path.chmod(mode)
    source = configure(WORKSPACE_TOKEN_FILE=str(path)).workspace_token
    with pytest.raises(ConfigError) as caught:
        source.read()

    origin = "WORKSPACE_TOKEN_FILE in the environment"
    assert caught.value.message == f"{origin}: {expected.format(path=path)}"


@pytest.mark.parametrize("text", ["two words", "two\nlines", "bell\a", "ümlaut", "cr\rcr"])
def test_secret_that_would_break_a_header_is_refused(text):
    """A secret is one word of plain ASCII, and the error does not repeat it."""
    with pytest.raises(ConfigError) as caught:
        configure(WORKSPACE_TOKEN=text).workspace_token.read()

    assert caught.value.message == (
        "WORKSPACE_TOKEN in the environment: the secret is not one word of plain text"
    )


GITHUB_COM = ("github", "https://github.com", True)
GITLAB_COM = ("gitlab", "https://gitlab.com", False)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        pytest.param(
            {"GITLAB_INSTANCE_URL": "https://Git.Example:8443/gitlab/"},
            [("gitlab", "https://git.example:8443/gitlab", True), GITHUB_COM, GITLAB_COM],
            id="GitLab with port and path",
        ),
        pytest.param(
            {"GITLAB_HOST": "git.example:8443"},
            [("gitlab", "https://git.example:8443", True), GITHUB_COM, GITLAB_COM],
            id="GitLab by host",
        ),
        pytest.param(
            {"GITLAB_HOST": "https://gitlab.com"},
            [("gitlab", "https://gitlab.com", True), GITHUB_COM],
            id="gitlab.com by name",
        ),
        pytest.param(
            {"FORGE_URL": "https://code.example"},
            [("forgejo", "https://code.example", True), GITHUB_COM, GITLAB_COM],
            id="Forgejo",
        ),
        pytest.param(
            {"GH_HOST": "ghe.example"},
            [("github", "https://ghe.example", True), GITHUB_COM, GITLAB_COM],
            id="GitHub Enterprise",
        ),
        pytest.param({"GH_HOST": "github.com"}, [GITHUB_COM, GITLAB_COM], id="github.com again"),
        pytest.param(
            {"GITLAB_TOKEN": "t"},
            [GITHUB_COM, ("gitlab", "https://gitlab.com", True)],
            id="a token for gitlab.com",
        ),
        pytest.param(
            {"GITLAB_TOKEN": "t", "GITLAB_HOST": "git.example"},
            [("gitlab", "https://git.example", True), GITHUB_COM, GITLAB_COM],
            id="a token for our own GitLab says nothing of gitlab.com",
        ),
        pytest.param(
            {RELAY + "HOSTS": "a.example, gitlab=b.example:1 ,forgejo=https://c.example/d,,"},
            [
                ("github", "https://a.example", True),
                ("gitlab", "https://b.example:1", True),
                ("forgejo", "https://c.example/d", True),
                GITHUB_COM,
                GITLAB_COM,
            ],
            id="a list of hosts",
        ),
        pytest.param(
            {"FORGE_URL": "http://127.0.0.1:3000"},
            [("forgejo", "http://127.0.0.1:3000", True), GITHUB_COM, GITLAB_COM],
            id="http to this machine",
        ),
        pytest.param(
            {"FORGE_URL": "http://forge:3000", RELAY + "ALLOW_HTTP": "1"},
            [("forgejo", "http://forge:3000", True), GITHUB_COM, GITLAB_COM],
            id="http elsewhere, opted in",
        ),
    ],
)
def test_hosts_we_answer_for(environ, expected):
    """Every variable that names a forge adds a host; github.com and gitlab.com are always
    there."""
    config = configure(**environ)

    assert [(f.kind, f.url, f.is_named) for f in config.forges] == expected


@pytest.mark.parametrize(
    ("environ", "gitlab", "forgejo"),
    [
        pytest.param({}, "https://gitlab.com", None, id="nothing"),
        pytest.param(
            {"GITLAB_INSTANCE_URL": "https://a.example/x", "GITLAB_HOST": "b.example"},
            "https://a.example/x",
            None,
            id="the URL says more than the host",
        ),
        pytest.param({"GITLAB_HOST": "b.example"}, "https://b.example", None, id="host"),
        pytest.param(
            {RELAY + "HOSTS": "gitlab=c.example,forgejo=d.example"},
            "https://c.example",
            None,
            id="the only GitLab there is",
        ),
        pytest.param(
            {RELAY + "HOSTS": "gitlab=c.example,gitlab=d.example"},
            None,
            None,
            id="one of two, nobody can say which",
        ),
        pytest.param(
            {"FORGE_URL": "https://e.example"},
            "https://gitlab.com",
            "https://e.example",
            id="Forgejo",
        ),
    ],
)
def test_token_variables_belong_to_one_host(environ, gitlab, forgejo):
    """GITLAB_TOKEN is for the configured GitLab alone, FORGE_TOKEN for the forge alone."""
    config = configure(**environ)
    hosts = [config.token_host(kind) for kind in ("gitlab", "forgejo")]

    assert [host and host.url for host in hosts] == [gitlab, forgejo]


@pytest.mark.parametrize(
    ("url", "allow", "expected"),
    [
        ("https://api.example/", None, "https://api.example"),
        ("https://API.example:443/base/", None, "https://api.example/base"),
        ("http://127.0.0.1:8080", None, "http://127.0.0.1:8080"),
        ("http://[::1]:8080/x", None, "http://[::1]:8080/x"),
        ("http://localhost", None, "http://localhost"),
        ("http://api:8080", "yes", "http://api:8080"),
    ],
)
def test_address_of_the_api(url, allow, expected):
    """https anywhere, plain http to this machine, or elsewhere when opted in."""
    environ = {"CLOUD_API_URL": url} | ({RELAY + "ALLOW_HTTP": allow} if allow else {})

    assert configure(**environ).api_url == expected


HTTP_ELSEWHERE = (
    "plain http is only for this machine; use https, or set GIT_CREDENTIAL_RELAY_ALLOW_HTTP=1"
)


def http_to(host: str) -> str:
    """The words for plain http to a forge."""
    return (
        f"plain http to {host} would send tokens in the clear; use https,"
        " or set GIT_CREDENTIAL_RELAY_ALLOW_HTTP=1"
    )


@pytest.mark.parametrize("layer", ["flag", "environment", "file"])
@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("CLOUD_API_URL", "api.example", "not an http or https URL"),
        ("CLOUD_API_URL", "ftp://api.example", "not an http or https URL"),
        ("CLOUD_API_URL", "https://", "not a host name"),
        ("CLOUD_API_URL", "https://api.example:port", "not a port number"),
        (
            "CLOUD_API_URL",
            "https://ws:secret@api.example",
            "a URL must not carry a user name or password",
        ),
        (
            "CLOUD_API_URL",
            "https://api.example/?key=secret",
            "the URL has a query, a fragment or characters that need escaping",
        ),
        ("CLOUD_API_URL", "http://api.example", HTTP_ELSEWHERE),
        ("CLOUD_API_URL", "http://127.0.0.1.example", HTTP_ELSEWHERE),
        ("CLOUD_API_URL", "http://10.0.0.1", HTTP_ELSEWHERE),
        ("GITLAB_INSTANCE_URL", "http://git.example", http_to("git.example")),
        ("FORGE_URL", "http://0.0.0.0:3000", http_to("0.0.0.0:3000")),
        ("GH_HOST", "ghe example", "not a host name"),
        ("GH_HOST", "gitlab=ghe.example", "'gitlab' is not one of github, gitlab, forgejo"),
        ("GITLAB_HOST", "git.example:x", "not a port number"),
        (
            "GITLAB_INSTANCE_URL",
            "https://oauth2:glpat-x@git.example",
            "a URL must not carry a user name or password",
        ),
        (
            "GITLAB_INSTANCE_URL",
            "https://oauth2:glpat-x==@git.example",
            "a URL must not carry a user name or password",
        ),
        (RELAY + "HOSTS", "bitbucket=b.example", "'bitbucket' is not one of"),
        (RELAY + "HOSTS", "a.example,*.b.example", "not a host name"),
        (RELAY + "API_PATH", "api", "must be an absolute URL path"),
        (RELAY + "API_PATH", "/api?x", "must be an absolute URL path"),
        ("WORKSPACE_ID", "w\x1b1", "must be one line of text"),
        (RELAY + "API_METHOD", "PUT", "must be one of GET, POST"),
        (RELAY + "CACHE", "disk", "must be one of tmpfs, keyring, off"),
        (RELAY + "CACHE_DIR", "cache", "must be an absolute path"),
        (RELAY + "CA_FILE", "ca.pem", "must be an absolute path"),
        (RELAY + "DEADLINE", "soon", "must be a number of seconds from 1 to 86400"),
        (RELAY + "DEADLINE", "0", "must be a number of seconds from 1 to 86400"),
        (RELAY + "DEADLINE", "-5", "must be a number of seconds from 1 to 86400"),
        (RELAY + "DEADLINE", "nan", "must be a number of seconds from 1 to 86400"),
        (RELAY + "DEADLINE", "inf", "must be a number of seconds from 1 to 86400"),
        (RELAY + "MIN_LIFETIME", "-1", "must be a number of seconds from 0 to 86400"),
        (RELAY + "MIN_LIFETIME", "86401", "must be a number of seconds from 0 to 86400"),
        (RELAY + "ALLOW_HTTP", "maybe", "must be 1 or 0"),
        (RELAY + "FAIL_CLOSED", "2", "must be 1 or 0"),
        (RELAY + "KEYRING", "kwallet", "must be 1 or 0"),
        (
            RELAY + "TOKEN_FIELDS_GIT",
            "token,password",
            "knows no 'password', only userToken, token, installationToken",
        ),
        (
            RELAY + "TOKEN_FIELDS_API",
            "Token",
            "knows no 'Token', only userToken, token, installationToken",
        ),
        (RELAY + "FALLBACK", "GH_TOKEN,netrc", "knows no 'netrc', only GH_TOKEN, GITHUB_TOKEN,"),
    ],
)
def test_bad_value_is_one_line_that_says_where(files, layer, name, text, expected):
    """A bad value is refused before anything else happens, by one line that begins with the
    flag, the variable or the file and line at fault, and shows no secret in it."""
    flag = next(setting.flag for setting in SETTINGS if setting.name == name)
    (path,) = files(f"\n{name}={text}\n")
    origin = {"flag": flag, "environment": f"{name} in the environment"}.get(
        layer, f"{path}:2 ({name})"
    )
    with pytest.raises(ConfigError) as caught:
        load(
            {name: text} if layer == "environment" else {},
            {name: text} if layer == "flag" else None,
            [path] if layer == "file" else [],
        )

    assert caught.value.message.startswith(f"{origin}: {expected}")
    assert caught.value.hint == f"correct {name}"
    assert "\n" not in caught.value.message
    assert not {"secret", "glpat-x"}.intersection(caught.value.message.replace("@", " ").split())


@pytest.mark.parametrize("name", ["WORKSPACE_TOKEN_FILE", "GH_TOKEN_FILE", RELAY + "CONFIG"])
def test_file_is_never_looked_up_in_the_work_tree(tmp_path, monkeypatch, name):
    """A relative path is refused although the file is there: git starts a helper in a work tree
    that others have written."""
    (tmp_path / "planted").write_text("CLOUD_API_URL=https://evil.example\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        load({name: "planted"})

    assert caught.value.message == f"{name} in the environment: must be an absolute path"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(b"WORKSPACE_ID\n", "{path}:1: not a NAME=value line", id="no ="),
        pytest.param(b"\n\n=x\n", "{path}:3: not a NAME=value line", id="no name"),
        pytest.param(b"a b=x\n", "{path}:1: not a NAME=value line", id="blank in the name"),
        pytest.param(b"[api]\n", "{path}:1: not a NAME=value line", id="another format"),
        pytest.param(
            b"X=1\nGIT_CREDENTIAL_RELAY_DEADLIN=5\n",
            "{path}:2: there is no setting GIT_CREDENTIAL_RELAY_DEADLIN",
            id="unknown name of ours",
        ),
        pytest.param(b"WORKSPACE_ID=\xff\n", "{path}: {path} is not UTF-8 text", id="not UTF-8"),
        pytest.param(b"#" * 65537, "{path}: {path} is larger than 65536 bytes", id="too large"),
    ],
)
def test_bad_file_is_one_line_that_says_where(tmp_path, content, expected):
    """A file that is not NAME=value lines is refused as a whole, by its name and line."""
    path = tmp_path / "relay.env"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load({}, None, [str(path)])

    assert caught.value.message == expected.format(path=path)


def test_file_that_everybody_may_write_is_refused(files):
    """Whoever can write the file chooses where the secret goes; the hint says what to do."""
    (path,) = files("WORKSPACE_ID=a\n")
    Path(path).chmod(0o646)
    with pytest.raises(ConfigError) as caught:
        load({}, None, [path])

    assert (caught.value.message, caught.value.hint) == (
        f"{path}: {path} is writable by everybody",
        f"chmod o-w {path}",
    )


@pytest.mark.parametrize("layer", ["flag", "environment"])
def test_named_file_must_be_there(tmp_path, layer):
    """A file named by --config or its variable that is not there is an error."""
    given = {"GIT_CREDENTIAL_RELAY_CONFIG": f"{tmp_path}/none.env"}
    origin = {"flag": "--config", "environment": "GIT_CREDENTIAL_RELAY_CONFIG in the environment"}
    with pytest.raises(ConfigError) as caught:
        load(given) if layer == "environment" else load({}, given)

    assert caught.value.message == f"{origin[layer]}: no such file: {tmp_path}/none.env"


@pytest.mark.parametrize("text", ["1", "TRUE", "yes", "on", "0", "False", "no", "OFF"])
def test_switches_take_gits_words(text):
    """A switch is on or off by any of the words git itself takes."""
    expected = text.lower() in ("1", "true", "yes", "on")

    assert configure(GIT_CREDENTIAL_RELAY_FAIL_CLOSED=text).fail_closed is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("gh", ["gh"]),
        (" hosts.yml , GH_TOKEN ,", ["hosts.yml", "GH_TOKEN"]),
        ("off", []),
        ("OFF", []),
    ],
)
def test_order_of_lists_is_the_users(text, expected):
    """Lists keep the order they are given in; `off` is the empty one."""
    assert configure(GIT_CREDENTIAL_RELAY_FALLBACK=text).fallback == expected


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        pytest.param({}, "CLOUD_API_URL", id="nothing"),
        pytest.param({"CLOUD_API_URL": "https://a"}, "WORKSPACE_ID", id="API"),
        pytest.param(
            {"CLOUD_API_URL": "https://a", "WORKSPACE_ID": "w"}, "WORKSPACE_TOKEN", id="no secret"
        ),
        pytest.param(
            {"CLOUD_API_URL": "https://a", "WORKSPACE_ID": "w", "WORKSPACE_TOKEN": "t"},
            None,
            id="all",
        ),
        pytest.param(
            {"CLOUD_API_URL": "https://a", "WORKSPACE_ID": "w", "WORKSPACE_TOKEN_FILE": "/t"},
            None,
            id="secret in a file",
        ),
        pytest.param(
            {"CLOUD_API_URL": "https://a", "WORKSPACE_ID": "w", RELAY + "KEYRING": "1"},
            None,
            id="secret in the keyring",
        ),
    ],
)
def test_first_missing_setting_of_the_api_is_named(environ, expected):
    """What the relay API needs and is not there is named, one at a time."""
    assert configure(**environ).missing_api_setting() == expected


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        pytest.param(
            {"XDG_RUNTIME_DIR": "/run/me"},
            [
                "/run/me/git-credential-relay",
                f"/run/user/{os.geteuid()}/git-credential-relay",
                f"/dev/shm/git-credential-relay-{os.geteuid()}",
            ],
            id="runtime directory",
        ),
        pytest.param(
            {"XDG_RUNTIME_DIR": "run"},
            [
                f"/run/user/{os.geteuid()}/git-credential-relay",
                f"/dev/shm/git-credential-relay-{os.geteuid()}",
            ],
            id="a relative one lies in the work tree",
        ),
        pytest.param(
            {"XDG_RUNTIME_DIR": "/run/me", RELAY + "CACHE_DIR": "/c"}, ["/c"], id="explicit"
        ),
    ],
)
def test_places_of_the_cache(environ, expected):
    """The cache lives in memory-backed directories, one per user, or where it is told to."""
    assert configure(**environ).cache_dirs == expected


def test_every_setting_has_its_own_names():
    """No spelling and no flag belongs to two settings, and each setting says what it means."""
    names = [name for setting in SETTINGS for name in setting.names]
    flags = [setting.flag for setting in SETTINGS]

    assert len(set(names)) == len(names)
    assert len(set(flags)) == len(flags)
    assert all(setting.meaning for setting in SETTINGS)


def test_defaults_are_valid_values():
    """What counts without a setting is what could have been set."""
    defaults = {setting.name: setting.default for setting in SETTINGS if setting.default}
    config, explicit = configure(), configure(**defaults)

    assert {name: shown(explicit, name) for name in defaults} == {
        name: (text, f"{name} in the environment") for name, text in defaults.items()
    }
    assert (config.deadline, config.cache) == (explicit.deadline, explicit.cache)


def test_checking_needs_no_network():
    """No socket is made and no name resolved while the configuration is read."""
    script = """
import sys
from git_credential_relay.config import load

def refuse(event, arguments):
    if event.startswith("socket."):
        raise RuntimeError(event)

sys.addaudithook(refuse)
names = ("CLOUD_API_URL", "GITLAB_INSTANCE_URL", "FORGE_URL", "HTTPS_PROXY")
print(load(dict.fromkeys(names, "https://a.invalid"), files=[]).api_url)
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )

    assert (done.stdout, done.stderr) == ("https://a.invalid\n", "")


@pytest.mark.parametrize(
    ("arguments", "environ", "expected"),
    [
        pytest.param(["--workspace-id", "flag"], {"WORKSPACE_ID": "env"}, "flag", id="flag"),
        pytest.param(["--workspace-id=flag"], {"WORKSPACE_ID": "env"}, "flag", id="flag with ="),
        pytest.param([], {"WORKSPACE_ID": "env"}, "env", id="environment"),
        pytest.param([], {"WORKSPACE_ID": ""}, "file", id="file"),
    ],
)
def test_executable_keeps_the_precedence(
    files, httpserver: HTTPServer, arguments, environ, expected
):
    """The real `get` asks the API in the name of the workspace of the highest layer."""
    (path,) = files("WORKSPACE_ID=file\nWORKSPACE_TOKEN=secret\n")
    httpserver.expect_oneshot_request(
        "/api/git/token", headers={"Authorization": "Bearer secret"}
    ).respond_with_json({"token": "ghs_token", "username": "x-access-token"})
    url = httpserver.url_for("")
    done = run_program(
        *("--config", path, "--cloud-api-url", url, *arguments, "get"),
        stdin="protocol=https\nhost=github.com\n\n",
        **environ,
    )
    ((request, _),) = httpserver.log

    assert (done.stdout, done.stderr) == ("username=x-access-token\npassword=ghs_token\n\n", "")
    assert request.args["workspaceId"] == expected


def test_the_machines_own_files_are_where_the_documents_say():
    """Image builders write /etc, entrypoints /run; /run wins."""
    assert SYSTEM_FILES == (
        "/run/git-credential-relay/relay.env",
        "/etc/git-credential-relay/relay.env",
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_relay_env_of_somebody_else_is_refused(tmp_path):
    """Its owner would choose where our secret is sent; naming the file makes it meant."""
    path = tmp_path / "home" / ".config" / "git-credential-relay" / "relay.env"
    path.parent.mkdir(parents=True)
    path.write_text("CLOUD_API_URL=https://elsewhere.example\n")
    os.chown(path, 65534, 65534)
    environ = {"HOME": str(tmp_path / "home")}

    with pytest.raises(ConfigError, match="belongs to uid 65534") as raised:
        load(environ)
    assert raised.value.code == "foreign-owner"
    named = load({**environ, "GIT_CREDENTIAL_RELAY_CONFIG": str(path)})
    assert named.api_url == "https://elsewhere.example"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_relay_env_of_root_serves_everybody():
    """The machine's settings are root's, whoever runs git."""
    os.seteuid(65534)
    try:
        # A file of root's that all may read; that it holds no settings is found next.
        with pytest.raises(ConfigError, match="not a NAME=value line"):
            list(read_env_file("/etc/passwd", is_named=False))
    finally:
        os.seteuid(0)
