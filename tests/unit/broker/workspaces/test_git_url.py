"""Git URLs, read as the repository they mean."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from git_credential_relay.broker.config.load import ForgeEntry, parse_config
from git_credential_relay.broker.config.model import StaticModel
from git_credential_relay.broker.errors import BadRequestError
from git_credential_relay.broker.workspaces.git_url import find_forge_of, parse_git_url
from git_credential_relay.credential.forge import GITHUB, GITLAB, Forge

GITHUB_COM = Forge(GITHUB, "https", "github.com")
GITLAB_OWN = Forge(GITLAB, "https", "git.example.com:8443", "gitlab")


def entries(*forges):
    return [
        ForgeEntry(forge.url, forge, forge.url, StaticModel(host=forge.host, token_file="t"))
        for forge in forges
    ]


@pytest.mark.parametrize(
    ("text", "forge", "repository"),
    [
        ("https://github.com/acme/app", GITHUB_COM, "acme/app"),
        ("https://GitHub.com:443/acme/app.git/", GITHUB_COM, "acme/app"),
        ("HTTPS://github.com./acme/app.js.git", GITHUB_COM, "acme/app.js"),
        ("git@github.com:acme/app.git", GITHUB_COM, "acme/app"),
        ("github.com:acme/app", GITHUB_COM, "acme/app"),
        ("git@github.com:/acme/app.git", GITHUB_COM, "acme/app"),
        ("ssh://git@github.com/acme/app.git", GITHUB_COM, "acme/app"),
        ("git+ssh://git@github.com:22/acme/app", GITHUB_COM, "acme/app"),
        ("ssh://git@ssh.github.com:443/acme/app", GITHUB_COM, "acme/app"),
        ("https://git.example.com:8443/gitlab/a/b/c.git", GITLAB_OWN, "a/b/c"),
        ("git@git.example.com:a/b/c.git", GITLAB_OWN, "a/b/c"),
        ("ssh://git@git.example.com:2222/a/b/c.git", GITLAB_OWN, "a/b/c"),
    ],
)
def test_forms_of_a_repository(text, forge, repository):
    """Whichever way somebody clones, the forge's https and the repository's name come out."""
    url = parse_git_url(text)

    found = find_forge_of(url, entries(GITHUB_COM, GITLAB_OWN))

    assert found is forge
    assert url.repository_at(found) == repository


@pytest.mark.parametrize(
    "text",
    [
        "",
        "acme/app",
        "/srv/git/app.git",
        "file:///srv/git/app.git",
        "git://github.com/acme/app",
        "ext::sh -c whoami",
        "https://",
        "https:///acme/app",
        "https://github.com/acme/app?x=1",
        "https://github.com/acme/app#x",
        "https://us er@github.com/acme/app",
        "https://github.com/acme/app\n",
        "https://gïthub.com/acme/app",
        "ssh://-oProxyCommand=x/acme/app",
        "ssh://git:password@github.com/acme/app",
        "git@github.com://acme/app",
        "https://github.com/" + "a" * 3000,
    ],
)
def test_what_is_no_git_url(text):
    """Everything else is refused, with one code."""
    with pytest.raises(BadRequestError) as caught:
        parse_git_url(text)
    assert caught.value.code == "INVALID_GIT_URL"


@pytest.mark.parametrize(
    "text",
    [
        "https://github.com/acme",
        "https://github.com/acme/app/tree/main",
        "https://github.com/acme/../app",
        "https://github.com//app",
        "git@github.com:app.git",
        "https://github.com/acme/a%2fb",
    ],
)
def test_what_names_no_repository(text):
    """A path that is not owner/name names nothing a token could be bound to."""
    with pytest.raises(BadRequestError, match="git URL"):
        parse_git_url(text).repository_at(GITHUB_COM)


def test_other_place_at_the_same_host():
    """Another port, another scheme, or a path beside the forge's root is somebody else."""
    here = entries(GITLAB_OWN)

    assert find_forge_of(parse_git_url("https://git.example.com/gitlab/a/b"), here) is None
    assert find_forge_of(parse_git_url("http://git.example.com:8443/gitlab/a/b"), here) is None
    with pytest.raises(BadRequestError):
        parse_git_url("https://git.example.com:8443/other/a/b").repository_at(GITLAB_OWN)


def test_ssh_to_a_host_with_two_forges():
    """ssh tells no port of https: which of two is meant nobody can know."""
    other = Forge(GITLAB, "https", "git.example.com:9443")

    with pytest.raises(BadRequestError, match="several forges"):
        find_forge_of(parse_git_url("git@git.example.com:a/b"), entries(GITLAB_OWN, other))


@given(st.sampled_from(["", "user:", "user:pass-canary@", "pass-canary@"]), st.text(max_size=40))
def test_whatever_comes_in(user, rest):
    """Any text is a URL or a refusal, and a refusal never repeats what it is about."""
    text = f"https://{user}{rest}/pass-canary"
    refusal = ""
    try:
        url = parse_git_url(text)
    except BadRequestError as error:
        refusal = f"{error.message} {error.hint}"
    else:
        assert "@" not in url.host
        assert (url.scheme, url.address) == ("https", f"https://{url.host}")
    assert "pass-canary" not in refusal


_NAME = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,10}", fullmatch=True)


@given(_NAME, _NAME, st.sampled_from(["https://{}/{}/{}", "git@{}:{}/{}", "ssh://git@{}/{}/{}"]))
def test_all_forms_mean_the_same(owner, name, form):
    """A repository's name comes out of each form as it went in."""
    for suffix in ("", ".git"):
        url = parse_git_url(form.format("github.com", owner, name) + suffix)
        assert (url.host, url.repository_at(GITHUB_COM)) == ("github.com", f"{owner}/{name}")


def test_entries_of_a_configuration(tmp_path):
    """What the configuration names is what a URL is looked up in."""
    config = parse_config(
        tmp_path / "broker.toml",
        '[[forge]]\nkind = "static"\nhost = "git.example.com"\ntoken_file = "t"\n',
    )

    assert find_forge_of(parse_git_url("git@git.example.com:a/b"), config.forges) is not None
