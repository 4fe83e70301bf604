"""Which host is ours, and which repository a path names."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from git_credential_relay.credential.forge import FORGEJO, GITHUB, GITLAB, Forge, find_target
from git_credential_relay.errors import ProtocolError
from tests.unit.credential.strategies import mutations

GITHUB_COM = Forge(GITHUB, "https", "github.com")
GITLAB_COM = Forge(GITLAB, "https", "gitlab.com")
GITLAB_BELOW = Forge(GITLAB, "https", "git.example:8443", "tools/gitlab")
CODEBERG = Forge(FORGEJO, "https", "codeberg.org")
PLAIN = Forge(FORGEJO, "http", "127.0.0.1:3000")
FORGES = [GITHUB_COM, GITLAB_COM, GITLAB_BELOW, CODEBERG, PLAIN]


def found(protocol: str, host: str, path: str | None):
    """What a target is made of, or None."""
    target = find_target(FORGES, protocol, host, path)
    return target and (target.forge, target.repository, target.use)


@pytest.mark.parametrize(
    ("protocol", "host"),
    [
        ("https", "github.com"),
        ("https", "GitHub.COM"),
        ("https", "github.com:443"),
        ("https", "github.com."),
        ("https", "GITHUB.com.:443"),
        ("HTTPS", "github.com"),
    ],
)
def test_spellings_of_our_host_are_ours(protocol, host):
    """Case, the default port and one trailing dot make no other host."""
    assert found(protocol, host, "octo/spoon.git") == (GITHUB_COM, "octo/spoon", "git")


@pytest.mark.parametrize(
    ("protocol", "host"),
    [
        pytest.param("http", "github.com", id="http"),
        pytest.param("http", "github.com:443", id="http to the https port"),
        pytest.param("ssh", "github.com", id="ssh"),
        pytest.param("", "github.com", id="no protocol"),
        pytest.param("https ", "github.com", id="protocol with a blank"),
        pytest.param("https://", "github.com", id="protocol with slashes"),
        pytest.param("https", "", id="no host"),
        pytest.param("https", ".", id="dot"),
        pytest.param("https", "evil.example", id="somebody else"),
        pytest.param("https", "github.com:8443", id="another port"),
        pytest.param("https", "github.com:80", id="http port"),
        pytest.param("https", "github.com:0443", id="port with a zero"),
        pytest.param("https", "github.com:", id="empty port"),
        pytest.param("https", "github.com.evil.example", id="ours in front"),
        pytest.param("https", "evilgithub.com", id="ours at the end"),
        pytest.param("https", "evil.github.com", id="below ours"),
        pytest.param("https", "api.github.com", id="the API's host"),
        pytest.param("https", "github.co", id="ours cut"),
        pytest.param("https", "github_com", id="dot as any character"),
        pytest.param("https", "github.com..", id="two dots"),
        pytest.param("https", "github.com@evil.example", id="ours as user"),
        pytest.param("https", "evil.example#github.com", id="ours as fragment"),
        pytest.param("https", "github.com/evil", id="path in the host"),
        pytest.param("https", "github.com\0.evil.example", id="NUL"),
        pytest.param("https", "github.com\n", id="LF"),
        pytest.param("https", " github.com", id="blank in front"),
        pytest.param("https", "github.com%2eevil.example", id="escape"),
        pytest.param("https", "*", id="pattern"),
        pytest.param("https", "git.example", id="configured host without its port"),
        pytest.param("https", "127.0.0.1:3000", id="https to an http forge"),
        pytest.param("http", "127.0.0.1", id="http forge without its port"),
    ],
)
@pytest.mark.parametrize("path", [None, "octo/spoon.git"], ids=["no path", "path"])
def test_other_hosts_are_not_ours(protocol, host, path):
    """Scheme, name and port must be equal; nothing that only resembles our host is ours."""
    assert found(protocol, host, path) is None


@pytest.mark.parametrize("path", [None, ""], ids=["absent", "empty"])
def test_no_path_is_a_target_of_its_own(path):
    """Without a path the target names no repository, rather than any."""
    assert found("https", "github.com", path) == (GITHUB_COM, None, "git")


@pytest.mark.parametrize(
    ("forge", "path", "expected"),
    [
        (GITHUB_COM, "octo/spoon.git", "octo/spoon"),
        (GITHUB_COM, "octo/spoon", "octo/spoon"),
        (GITHUB_COM, "/octo/spoon.git/", "octo/spoon"),
        (GITHUB_COM, "Octo/Spoon", "Octo/Spoon"),
        (GITHUB_COM, "octo/spoon.wiki.git", "octo/spoon.wiki"),
        (GITHUB_COM, "octo/.github", "octo/.github"),
        (GITHUB_COM, "octo/spoon.git.git", "octo/spoon.git"),
        (GITHUB_COM, "octo.git/spoon", "octo.git/spoon"),
        (CODEBERG, "forgejo/forgejo.git", "forgejo/forgejo"),
        (GITLAB_COM, "group/project.git", "group/project"),
        (GITLAB_COM, "group/sub/project.git", "group/sub/project"),
        (GITLAB_COM, "a/b/c/d/e/project", "a/b/c/d/e/project"),
        (GITLAB_BELOW, "tools/gitlab/group/project.git", "group/project"),
        (GITLAB_BELOW, "/tools/gitlab/a/b/project.git", "a/b/project"),
        (GITLAB_BELOW, "tools/gitlab/tools/gitlab", "tools/gitlab"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_path_names_one_repository(forge, path, expected):
    """owner/name without `.git`; GitLab's groups nest, and a forge's own path is taken off."""
    assert forge.repository(path) == expected


NO_REPOSITORY = [
    pytest.param("", id="empty"),
    pytest.param("/", id="slash"),
    pytest.param("octo", id="owner alone"),
    pytest.param("octo/", id="owner and slash"),
    pytest.param("octo/.git", id="name is .git"),
    pytest.param("o/../victim/r.git", id="dot-dot"),
    pytest.param("../victim/r.git", id="dot-dot first"),
    pytest.param("../r.git", id="dot-dot as owner"),
    pytest.param("octo/..", id="dot-dot as name"),
    pytest.param("octo/...git", id="dot-dot and .git"),
    pytest.param("octo/.", id="dot"),
    pytest.param("./octo/spoon", id="dot first"),
    pytest.param("octo/%2e%2e/victim/r.git", id="escaped dots"),
    pytest.param("%2e%2e/r.git", id="escaped dots as owner"),
    pytest.param("octo/spoon%2f..%2fr", id="escaped slashes"),
    pytest.param("octo//spoon", id="empty segment"),
    pytest.param("octo/spoon.git?x=1", id="query"),
    pytest.param("octo/spoon#x", id="fragment"),
    pytest.param("octo/spoon\0", id="NUL"),
    pytest.param("octo/spoon\n", id="LF"),
    pytest.param("octo/spoon\t", id="TAB"),
    pytest.param("octo/sp oon", id="blank"),
    pytest.param("octo\\spoon", id="backslash"),
    pytest.param("octo/..\\victim", id="dot-dot backslash"),
    pytest.param("octo/spoon;x", id="semicolon"),
    pytest.param("octo/spoon@x", id="at"),
    pytest.param("octo/spöön", id="not ASCII"),
    pytest.param("octo/\u2024\u2024", id="dots that are none"),
]


@pytest.mark.parametrize("path", NO_REPOSITORY)
@pytest.mark.parametrize("forge", [GITHUB_COM, GITLAB_COM, CODEBERG], ids=lambda f: f.kind)
def test_path_that_could_name_two_repositories_names_none(forge, path):
    """What an HTTP client or a forge could read in another way is refused."""
    with pytest.raises(ProtocolError):
        forge.repository(path)

    assert find_target([forge], "https", forge.host, path or "/") is None


@pytest.mark.parametrize("forge", [GITHUB_COM, CODEBERG], ids=lambda f: f.kind)
@pytest.mark.parametrize("path", ["a/b/c", "octo/spoon.git/info/lfs", "octo/spoon/tree/main"])
def test_exactly_owner_and_name_where_groups_do_not_nest(forge, path):
    """On GitHub and Forgejo a path of more than two segments names nothing."""
    with pytest.raises(ProtocolError):
        forge.repository(path)


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("group/project", id="beside it"),
        pytest.param("tools/gitlab", id="the root alone"),
        pytest.param("tools/gitlab/", id="the root and a slash"),
        pytest.param("tools", id="part of the root"),
        pytest.param("tools/gitlab/project", id="one segment below"),
        pytest.param("tools/gitlab2/group/project", id="a longer name"),
        pytest.param("Tools/GitLab/group/project", id="another case"),
        pytest.param("tools/gitlab/../x/group/project", id="out of it"),
        pytest.param("x/../tools/gitlab/group/project", id="into it"),
        pytest.param("tools//gitlab/group/project", id="empty segment"),
    ],
)
def test_forge_below_a_path_has_nothing_beside_it(path):
    """A GitLab under /tools/gitlab is asked about what lies below it, and nothing else."""
    assert found("https", "git.example:8443", path) is None


def test_two_forges_of_one_host_are_told_apart_by_path():
    """Of two forges on one host the one is found that has the path below it."""
    below, beside = Forge(GITLAB, "https", "h", "gitlab"), Forge(FORGEJO, "https", "h", "code")
    targets = [
        find_target([below, beside], "https", "h", path) for path in ("code/a/b", "gitlab/a/b/c")
    ]

    assert [t and (t.forge, t.repository) for t in targets] == [(beside, "a/b"), (below, "a/b/c")]


@pytest.mark.parametrize(
    ("path", "use", "expected"),
    [
        ("octo/spoon.git", "git", "https://github.com/octo/spoon"),
        (None, "api", "https://github.com"),
    ],
)
def test_target_is_shown_as_its_address(path, use, expected):
    """A target reads as the URL of what is asked for, and keeps its use."""
    target = find_target(FORGES, "https", "github.com", path, use)

    assert target is not None
    assert (str(target), target.use) == (expected, use)


@pytest.mark.parametrize(
    ("forge", "expected"),
    [
        (GITHUB_COM, ("https://github.com", "x-access-token")),
        (GITLAB_BELOW, ("https://git.example:8443/tools/gitlab", "oauth2")),
        (PLAIN, ("http://127.0.0.1:3000", None)),
    ],
    ids=["github", "gitlab", "forgejo"],
)
def test_forge_has_an_address_and_maybe_a_user(forge, expected):
    """A forge's address has its port and path; the user name is fixed where the kind fixes it."""
    assert (forge.url, forge.username) == expected


PROTOCOLS = mutations(["https", "http"])
HOSTS = mutations([forge.host for forge in FORGES] + ["github.com:443", "gitlab.com."])
PATHS = mutations(["octo/spoon.git", "group/sub/project", "tools/gitlab/group/project.git"])


@settings(max_examples=500)  # one in ten is ours
@given(PROTOCOLS, HOSTS, st.none() | PATHS)
@example("https", "github.com.", "octo/spoon")
def test_no_input_yields_a_target_for_another_host(protocol, host, path):
    """A target's host is what git asked for, but for case, default port and a trailing dot."""
    target = find_target(FORGES, protocol, host, path)
    if target is None:
        return

    port = {"https": ":443", "http": ":80"}[target.forge.scheme]
    spellings = {target.forge.host + dot + p for dot in ("", ".") for p in ("", port)}
    assert protocol.lower() == target.forge.scheme
    assert host.lower() in spellings
    assert host.isascii()


@given(st.sampled_from(FORGES), PATHS | st.text(max_size=30))
def test_repository_is_always_a_plain_path(forge, path):
    """What a path is read as has no empty or dot segment, and is a part of that path."""
    try:
        repository = forge.repository(path)
    except ProtocolError:
        return

    segments = repository.split("/")
    assert not {"", ".", ".."}.intersection(segments)
    assert len(segments) == 2 or (len(segments) > 2 and forge.kind == GITLAB)
    assert path.strip("/").removesuffix(".git") == "/".join(filter(None, [forge.root, repository]))


def test_without_a_path_two_forges_on_one_host_are_nobody():
    """Only the path tells which of them is meant, and a missing field never matches."""
    gitlab = Forge(GITLAB, "https", "git.corp", "gitlab")
    forgejo = Forge(FORGEJO, "https", "git.corp", "forge")

    assert find_target([gitlab, forgejo], "https", "git.corp", None) is None
    target = find_target([gitlab, forgejo], "https", "git.corp", "forge/o/r.git")
    assert target is not None
    assert (target.forge.kind, target.repository) == (FORGEJO, "o/r")
    again = find_target([gitlab, gitlab], "https", "git.corp", None)
    assert again is not None
    assert again.forge is gitlab
