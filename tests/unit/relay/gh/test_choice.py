"""Which host and repository gh turns to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from git_credential_relay.relay.gh.arguments import Call
from git_credential_relay.relay.gh.choice import choose
from git_credential_relay.relay.remotes import Address

HOSTS = ("github.com", "ghe.example")


def place(line: str, *remotes: str, **environ: str) -> tuple[str, str | None]:
    """The host and repository for a call; `remotes` are `host/owner/name`."""
    addresses = [Address(*remote.split("/", 1)) for remote in remotes]
    found = choose(Call(line.split()), environ, HOSTS, lambda: addresses)
    return found.host, found.repository


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("pr list", ("github.com", None)),
        ("pr list -R o/r", ("github.com", "o/r")),
        ("pr list -R GHE.example/o/r", ("ghe.example", "o/r")),
        ("pr list -R https://ghe.example/o/r.git", ("ghe.example", "o/r")),
        ("pr list -R git@github.com:o/r.git", ("github.com", "o/r")),
        ("pr list -R evil.example/o/r", ("evil.example", "o/r")),
        ("pr list -R rubbish", ("github.com", None)),
        ("pr view https://ghe.example/o/r/pull/1", ("ghe.example", "o/r")),
        ("pr view https://evil.example/o/r/pull/1", ("evil.example", "o/r")),
        ("pr view https://user:pw@github.com/o/r/pull/1", ("github.com", "o/r")),
        ("repo clone o/r", ("github.com", "o/r")),
        ("repo clone ghe.example/o/r", ("ghe.example", "o/r")),
        ("repo clone https://github.com/o/r", ("github.com", "o/r")),
        ("repo clone ssh://git@ssh.github.com:443/o/r.git", ("github.com", "o/r")),
        ("repo clone git@github.com:o/r", ("github.com", "o/r")),
        ("repo clone mine", ("github.com", None)),
        ("api user", ("github.com", None)),
        ("api repos/o/r/pulls", ("github.com", "o/r")),
        ("api /repos/o/r?page=2", ("github.com", "o/r")),
        ("api repos/{owner}/{repo}/pulls", ("github.com", None)),
        ("api https://api.github.com/repos/o/r/pulls", ("github.com", "o/r")),
        ("api https://ghe.example/api/v3/repos/o/r", ("ghe.example", "o/r")),
        ("api https://ghe.example/api/v3/user", ("ghe.example", None)),
        ("api https://evil.example/user", ("evil.example", None)),
        ("api https://evil.example#@ghe.example/api/v3/user", ("github.com", None)),
        ("pr list -R https://evil.example/?@ghe.example/o/r", ("github.com", None)),
        ("pr list -R https://evil.example\\@ghe.example/o/r", ("evil.example", "\\@ghe.example/o")),
        ("api --hostname ghe.example repos/o/r", ("ghe.example", "o/r")),
        ("api --hostname api.github.com user", ("github.com", None)),
        ("api --hostname foo.github.com user", ("github.com", None)),
        ("api --hostname a.tenant.ghe.com user", ("tenant.ghe.com", None)),
        ("api --hostname notgithub.com user", ("notgithub.com", None)),
        ("gist view https://gist.github.com/o/1", ("github.com", None)),
    ],
)
def test_outside_of_a_work_tree(line, expected):
    """What is said in the arguments decides; github.com is what is meant by nothing."""
    assert place(line) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("pr list", ("ghe.example", "h/r")),
        ("api user", ("ghe.example", "h/r")),
        ("api repos/{owner}/{repo}/pulls", ("ghe.example", "h/r")),
        ("api repos/x/y", ("ghe.example", "x/y")),
        ("api --hostname github.com user", ("github.com", "o/r")),
        ("auth token", ("ghe.example", "h/r")),
        ("auth token -h github.com", ("github.com", "o/r")),
        ("pr list -R x/y", ("github.com", "x/y")),
        ("my-extension", ("ghe.example", "h/r")),
        ("gist list", ("github.com", None)),
        ("repo create x/y", ("github.com", None)),
        ("repo clone x/y", ("github.com", "x/y")),
        ("repo view", ("ghe.example", "h/r")),
        ("search prs x", ("github.com", None)),
        ("search prs x --repo x/y", ("github.com", "x/y")),
    ],
)
def test_in_a_work_tree(line, expected):
    """Without a flag the first remote at a known host counts, for what is about a repository."""
    assert place(line, "elsewhere.example/a/b", "ghe.example/h/r", "github.com/o/r") == expected


@pytest.mark.parametrize(
    ("line", "environ", "expected"),
    [
        ("pr list", {"GH_REPO": "x/y"}, ("github.com", "x/y")),
        ("pr list", {"GH_REPO": "ghe.example/x/y"}, ("ghe.example", "x/y")),
        ("pr list -R o/r", {"GH_REPO": "x/y"}, ("github.com", "o/r")),
        ("repo create n/m", {"GH_REPO": "x/y"}, ("github.com", None)),
        ("api repos/o/r", {"GH_REPO": "x/y"}, ("github.com", "o/r")),
        ("pr list", {"GH_HOST": "ghe.example"}, ("ghe.example", "h/r")),
        ("pr list", {"GH_HOST": "other.example"}, ("other.example", None)),
        ("pr list -R o/r", {"GH_HOST": "ghe.example"}, ("ghe.example", "o/r")),
        ("pr list -R github.com/o/r", {"GH_HOST": "ghe.example"}, ("github.com", "o/r")),
        ("pr list", {"GH_HOST": "ghe.example", "GH_REPO": "x/y"}, ("ghe.example", "x/y")),
        ("api user", {"GH_HOST": "GHE.example"}, ("ghe.example", "h/r")),
        ("api --hostname github.com user", {"GH_HOST": "ghe.example"}, ("github.com", "o/r")),
    ],
)
def test_variables(line, environ, expected):
    """GH_REPO and GH_HOST count behind the arguments, and before the remotes."""
    assert place(line, "github.com/o/r", "ghe.example/h/r", **environ) == expected


def test_a_tenant_is_never_passed_over():
    """A remote at a tenant of ghe.com, for which gh would take GH_TOKEN, is what is chosen."""
    assert place("pr list", "t.ghe.com/o/r", "github.com/o/r") == ("t.ghe.com", "o/r")


@given(st.text(max_size=30), st.text(max_size=30))
def test_no_repository_is_too_odd(repository, variable):
    """Whatever stands in -R and GH_REPO, a place comes out, and never by an error."""
    call = Call(["pr", "list", f"--repo={repository}"])

    assert choose(call, {"GH_REPO": variable}, HOSTS, list).host is not None
