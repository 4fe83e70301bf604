"""A workspace gets what its grants say, and nothing else, whatever is asked."""

from __future__ import annotations

import fnmatch
import string
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from git_credential_relay.broker.policy import (
    Allowed,
    Denied,
    NotServed,
    compile_grant,
    compile_policy,
    is_within,
)
from git_credential_relay.broker.sources.interface import LEVELS, Repository
from git_credential_relay.credential.forge import FORGEJO, GITHUB, GITLAB, STATIC, Forge
from git_credential_relay.errors import ConfigError, ProtocolError
from git_credential_relay.secret import Secret

HUB = Forge(GITHUB, "https", "github.com")
LAB = Forge(GITLAB, "https", "gitlab.example:8443", "gitlab")
WRITE = {"contents": "write", "pull_requests": "write"}


def policy(*grants):
    return compile_policy(grants)


def hub(*repositories, forge=HUB, permissions=WRITE, **more):
    return compile_grant(forge, repositories=repositories, permissions=permissions, **more)


@pytest.mark.parametrize(
    ("pattern", "repository", "is_covered"),
    [
        ("acme/app", "acme/app", True),
        ("acme/app", "Acme/App", True),
        ("acme/app", "acme/app2", False),
        ("acme/app", "acme/apq", False),
        ("acme/a.p", "acme/aXp", False),
        ("acme/lib-*", "acme/lib-core", True),
        ("acme/lib-*", "acme/lib-", True),
        ("acme/lib-*", "acme/xlib-core", False),
        ("acme/lib-*", "evil/lib-core", False),
        ("acme/*.js", "acme/next.js", True),
        ("acme/*.js", "acme/nextXjs", False),
        ("acme/*", "acme/.github", True),
        ("acme/*", "acme2/app", False),
    ],
)
def test_a_pattern_means_one_owner_and_whole_names(pattern, repository, is_covered):
    """An exact name is compared whole; `*` stands for anything in the name and nothing else."""
    decision = policy(hub(pattern)).decide("github.com", repository, "git")

    assert isinstance(decision, Allowed) is is_covered
    if not is_covered:
        assert isinstance(decision, Denied)
        assert decision.code == "REPOSITORY_NOT_GRANTED"


@pytest.mark.parametrize(
    ("pattern", "repository", "is_covered"),
    [
        ("group/sub/app", "group/sub/app", True),
        ("group/*", "group/app", True),
        ("group/*", "group/sub/app", False),
        ("group/sub/*", "group/sub/app", True),
        ("group/sub/*", "group/other/app", False),
    ],
)
def test_nested_groups_are_owners_of_their_own(pattern, repository, is_covered):
    """A pattern of one group covers neither its subgroups nor other groups."""
    decision = policy(hub(pattern, forge=LAB)).decide("gitlab.example:8443", repository, "git")

    assert isinstance(decision, Allowed) is is_covered


@pytest.mark.parametrize(
    "pattern",
    [
        "*/app",
        "ac*/app",
        "app",
        "/app",
        "acme/",
        "acme/app.git",
        "acme/..",
        "../app",
        "acme/app\n",
        "acme/a?p",
        "acme/[ab]",
        "acme//app",
        "acme/app|evil/app",
        "",
    ],
)
def test_a_pattern_that_could_mean_several_owners_is_refused(pattern):
    """Wildcards in the owner, regular expressions and malformed names do not compile."""
    with pytest.raises(ConfigError):
        hub(pattern)


@pytest.mark.parametrize(
    "host", ["gitlab.com", "github.com:8443", "github.com.evil.example", "xgithub.com", "", "\n"]
)
def test_another_host_is_somebody_elses_question(host):
    """A host without a grant is not served, which is another answer than a denial."""
    decision = policy(hub("acme/app", forge=Forge(GITHUB, "https", "ghe.example"))).decide(
        host, "acme/app", "git"
    )

    assert decision == NotServed()


def test_without_a_host_github_com_is_meant():
    """Older clients name no host: for them there is github.com and nothing else."""
    assert isinstance(policy(hub("acme/app")).decide(None, "acme/app", "git"), Allowed)
    assert policy(hub("g/app", forge=LAB)).decide(None, "g/app", "git") == NotServed()


@pytest.mark.parametrize("path", ["acme", "acme/app/x", "acme/../app", "acme/app?x", "a b/c"])
def test_a_path_that_names_no_repository_is_an_error(path):
    """What could name two repositories, or none, is refused rather than interpreted."""
    with pytest.raises(ProtocolError):
        policy(hub("acme/*")).decide("github.com", path, "git")


def test_uses_are_granted_separately():
    """A grant for git alone answers no API, says so, and carries git's permissions only."""
    rules = policy(hub("acme/app", uses=["git"]))

    denied = rules.decide("github.com", "acme/app", "api")
    allowed = rules.decide("github.com", "acme/app", "git")

    assert isinstance(denied, Denied)
    assert (denied.code, "api" in denied.message) == ("USE_NOT_GRANTED", True)
    assert isinstance(allowed, Allowed)
    assert allowed.scope.permissions == {"contents": "write"}


@pytest.mark.parametrize("more", [{"integration": "other"}, {"token": Secret("own")}])
def test_a_grant_by_another_way_adds_nothing_to_the_first(more):
    """Who mints for the first grant is not asked for what only another one may give."""
    first = hub("acme/app", permissions={"contents": "read"}, integration="one")
    allowed = policy(first, hub("acme/app", **more)).decide("github.com", "acme/app", "git")

    assert isinstance(allowed, Allowed)
    assert (allowed.integration, allowed.token) == ("one", None)
    assert allowed.scope.permissions == {"contents": "read"}


def test_an_api_grant_that_git_could_push_with_is_refused():
    """Tokens know no difference of use, so `api` alone with contents:write is a lie."""
    with pytest.raises(ConfigError, match="git push"):
        hub("acme/app", uses=["api"])


def test_a_read_only_grant_has_no_higher_level_than_read():
    """read_only caps every permission, and drops those that can only be written."""
    rules = policy(hub("acme/app", permissions={**WRITE, "workflows": "write"}, read_only=True))

    decision = rules.decide("github.com", "acme/app", "git")

    assert isinstance(decision, Allowed)
    assert decision.scope.permissions == {"contents": "read", "pull_requests": "read"}


def test_a_pinned_id_goes_with_its_name():
    """The id that a grant pins is part of what is asked for, whatever the name's case."""
    rules = policy(hub("acme/app", "acme/lib", repository_ids={"acme/App": 7}))

    decisions = [rules.decide("github.com", name, "git") for name in ("ACME/app", "acme/lib")]

    assert [d.scope.repositories for d in decisions if isinstance(d, Allowed)] == [
        (Repository("ACME/app", 7),),
        (Repository("acme/lib", None),),
    ]


def test_without_a_path_only_grants_that_agree_make_one_token():
    """A token for all repositories is given only where no grant would be exceeded by it."""
    agreed = policy(hub("acme/app"), hub("acme/lib")).decide("github.com", None, "git")

    assert isinstance(agreed, Allowed)
    assert [r.name for r in agreed.scope.repositories] == ["acme/app", "acme/lib"]
    for rules in (
        policy(hub("acme/*")),
        policy(hub("acme/app"), hub("other/app")),
        policy(hub("acme/app"), hub("acme/lib", permissions={"contents": "read"})),
        policy(hub("acme/app"), hub("acme/lib", integration="second")),
    ):
        decision = rules.decide("github.com", None, "git")
        assert isinstance(decision, Denied)
        assert decision.code == "REPOSITORY_REQUIRED"


def test_a_users_own_token_is_bound_to_exact_names():
    """A pattern beside a token that nobody narrows does not compile."""
    with pytest.raises(ConfigError, match="exactly"):
        hub("acme/*", token=Secret("glpat-own"), username="x")


def test_a_static_forge_takes_case_seriously():
    """Where we do not know the forge, two spellings may be two repositories."""
    forge = Forge(STATIC, "https", "git.example")
    rules = policy(hub("acme/app", forge=forge))

    assert isinstance(rules.decide("git.example", "acme/app", "git"), Allowed)
    assert isinstance(rules.decide("git.example", "Acme/app", "git"), Denied)


def test_the_digest_differs_whenever_a_grant_does():
    """Every edit of a grant changes the digest, which is part of the cache's key."""
    variants = [
        hub("acme/app"),
        hub("acme/lib"),
        hub("acme/app", "acme/lib"),
        hub("acme/app", permissions={"contents": "read"}),
        hub("acme/app", uses=["git"]),
        hub("acme/app", read_only=True),
        hub("acme/app", repository_ids={"acme/app": 1}),
        hub("acme/app", integration="second"),
        hub("acme/app", access_level=30),
        hub("acme/app", token=Secret("a"), username="u"),
        hub("acme/app", token=Secret("b"), username="u"),
        hub("acme/app", forge=Forge(FORGEJO, "https", "github.com")),
    ]
    digests = [policy(grant).digest for grant in variants]

    assert len(set(digests)) == len(variants)
    assert policy(hub("acme/app")).digest == digests[0]


names = st.text(string.ascii_lowercase + "-.", min_size=1, max_size=4).filter(
    lambda name: name.strip(".") and not name.endswith(".git") and not name.startswith("..")
)
owners = st.sampled_from(["acme", "acme2", "evil", "a"])
repositories = st.builds("{}/{}".format, owners, names)
patterns = st.one_of(repositories, st.builds("{}/{}*".format, owners, st.sampled_from("abl")))
permission_sets = st.dictionaries(
    st.sampled_from(["contents", "issues", "pull_requests", "workflows"]),
    st.sampled_from(LEVELS),
    min_size=1,
)
grants = st.builds(
    lambda forge, texts, levels, uses, read_only: (forge, texts, levels, uses, read_only),
    st.sampled_from([HUB, LAB, Forge(FORGEJO, "http", "127.0.0.1:3000")]),
    st.lists(patterns, min_size=1, max_size=3),
    permission_sets,
    st.sampled_from([["git"], ["api"], ["git", "api"]]),
    st.booleans(),
)


@given(
    st.lists(grants, max_size=4),
    st.sampled_from(["github.com", "gitlab.example:8443", "127.0.0.1:3000", "evil.example"]),
    repositories,
    st.sampled_from(["git", "api"]),
)
def test_nothing_is_ever_allowed_outside_the_grants(texts, host, repository, use):
    """For any policy and request, an allowed scope is within what single grants say together."""
    compiled = []
    for forge, names_, levels, uses, read_only in texts:
        try:
            compiled.append(
                (
                    compile_grant(
                        forge,
                        repositories=names_,
                        permissions=levels,
                        uses=uses,
                        read_only=read_only,
                    ),
                    (forge, names_, levels, uses, read_only),
                )
            )
        except ConfigError:
            continue
    decision = compile_policy(grant for grant, _ in compiled).decide(host, repository, use)

    def says(text, name, level):
        forge, names_, levels, uses, read_only = text
        is_named = any(
            n == repository or (n.endswith("*") and repository.startswith(n[:-1])) for n in names_
        )
        highest = "read" if read_only else levels.get(name)
        return (
            forge.host == host
            and is_named
            and use in uses
            and name in levels
            and LEVELS.index(level) <= LEVELS.index(highest)
        )

    if isinstance(decision, Allowed):
        assert decision.forge.host == host
        assert [r.name for r in decision.scope.repositories] == [repository]
        assert decision.scope.use == use
        assert decision.scope.permissions
        for name, level in decision.scope.permissions.items():
            assert any(says(text, name, level) for _, text in compiled), (name, level)
    elif isinstance(decision, NotServed):
        assert all(grant.forge.host != host for grant, _ in compiled)


@given(permission_sets, permission_sets)
def test_is_within_never_accepts_a_higher_level(given_, asked):
    """What a forge gave passes only where each level was asked for, or a higher one."""
    expected = all(
        name in asked and LEVELS.index(level) <= LEVELS.index(asked[name])
        for name, level in given_.items()
    )

    assert is_within(given_, asked) is expected
    assert is_within({"metadata": "read"}, asked)
    assert not is_within({"metadata": "write"}, asked)


@given(
    st.text("ab-.*", min_size=1, max_size=12).filter(lambda text: text not in (".", "..")),
    st.text("ab-.", min_size=1, max_size=12).filter(lambda text: text not in (".", "..")),
)
def test_a_pattern_of_several_stars_means_what_a_shell_means(pattern, name):
    """However many stars there are, none of the names it means is missed, and no other taken."""
    decision = policy(hub(f"acme/{pattern}")).decide("github.com", f"acme/{name}", "git")

    assert isinstance(decision, Allowed) is fnmatch.fnmatchcase(name, pattern)


def test_no_name_keeps_a_pattern_busy():
    """A workspace must not hold up everybody else's requests with a name of its choice."""
    grants = policy(hub("acme/*-*-*-prod"))
    started = time.perf_counter()
    decision = grants.decide("github.com", "acme/" + "-" * 1000, "git")

    assert isinstance(decision, Denied)
    assert time.perf_counter() - started < 0.2
