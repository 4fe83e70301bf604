"""Which workspaces a sidecar has by its configuration, and whose they are."""

from __future__ import annotations

import os

import pytest

from git_credential_relay.errors import ConfigError
from git_credential_relay.relay.sidecar.peer import Peer
from git_credential_relay.relay.sidecar.workspaces import choose, read_tenants, watched_files

COMMON = "/run/x/git.sock"
COMMON_GH = "/run/x/gh.sock"
ALLOW = "GIT_CREDENTIAL_RELAY_ALLOW_UIDS"
FALLBACK = "GIT_CREDENTIAL_RELAY_FALLBACK"


@pytest.fixture
def root(tmp_path):
    """A directory for workspaces."""
    (tmp_path / "workspaces").mkdir()
    return tmp_path / "workspaces"


def add(root, name, *lines, who=True):
    """A workspace's file."""
    own = [f"WORKSPACE_ID=id-{name}", f"WORKSPACE_TOKEN=secret-{name}"] if who else []
    (root / f"{name}.env").write_text("\n".join([*own, *lines]) + "\n")


def read(root, flags=None, **environ):
    """The tenants."""
    found = {"CLOUD_API_URL": "https://cloud.example", **environ}
    if root is not None:
        found["GIT_CREDENTIAL_RELAY_WORKSPACES"] = str(root)
    return read_tenants(found, flags or {}, COMMON, COMMON_GH)


def refusal(*arguments, **more) -> str:
    """Why the configuration is refused."""
    with pytest.raises(ConfigError) as caught:
        read(*arguments, **more)
    assert caught.value.exit_code == 2
    return caught.value.message


def peer(uid, *gids, pid=1):
    """A process of this user."""
    return Peer(pid, uid, frozenset(gids))


def test_without_a_directory_there_is_one_workspace():
    """The usual settings make one, at the common sockets."""
    [tenant] = read(None, WORKSPACE_ID="a", WORKSPACE_TOKEN="b")

    assert (tenant.socket, tenant.gh_socket) == (COMMON, COMMON_GH)
    assert tenant.config.workspace_id == "a"


@pytest.mark.parametrize("source", ["hosts.yml", "gh"])
def test_the_own_users_logins_are_not_the_agents(source):
    """Whoever runs the sidecar may be logged in at a forge: that is nobody's workspace."""
    [tenant] = read(None)
    [named] = read(None, **{FALLBACK: f"{source},GH_TOKEN"})

    assert source not in tenant.config.fallback
    assert "GH_TOKEN" in tenant.config.fallback
    assert source in named.config.fallback


def test_each_file_is_a_workspace(root):
    """With the common settings of the environment, and its own identity."""
    add(root, "a", f"{ALLOW}=1000")
    add(root, "b", f"{ALLOW}=1001", "GIT_CREDENTIAL_RELAY_SOCKET=/run/x/b.sock")
    (root / ".hidden.env").write_text("nonsense")
    (root / "readme").write_text("nonsense")
    a, b = read(root)

    assert [t.name for t in (a, b)] == ["a", "b"]
    assert [t.config.workspace_id for t in (a, b)] == ["id-a", "id-b"]
    assert {t.config.api_url for t in (a, b)} == {"https://cloud.example"}
    assert (a.socket, a.gh_socket) == (COMMON, COMMON_GH)
    assert (b.socket, b.gh_socket) == ("/run/x/b.sock", None)


@pytest.mark.parametrize("missing", ["WORKSPACE_ID", "WORKSPACE_TOKEN"])
@pytest.mark.parametrize("empty", [False, True])
def test_an_identity_is_never_shared(root, missing, empty):
    """A file without its own id or secret would be served with another workspace's."""
    lines = [f"{n}=x" for n in ("WORKSPACE_ID", "WORKSPACE_TOKEN") if n != missing]
    add(root, "a", *lines, *([f"{missing}="] if empty else []), who=False)

    environ = {"WORKSPACE_ID": "shared", "WORKSPACE_TOKEN": "shared"}
    assert f"a.env has no {missing}" in refusal(root, **environ)


def test_a_secret_of_the_environment_does_not_win_over_a_file(root):
    """Neither form of the common secret takes the place of a workspace's own."""
    add(root, "a")
    [tenant] = read(root, WORKSPACE_TOKEN="common", WORKSPACE_ID="common")
    secret = tenant.config.workspace_token.read()

    assert secret is not None
    assert secret.reveal() == "secret-a"
    assert tenant.config.workspace_id == "id-a"


@pytest.mark.parametrize("flag", ["WORKSPACE_ID", "WORKSPACE_TOKEN_FILE"])
def test_a_flag_cannot_say_who_all_of_them_are(root, flag):
    """A flag stands above every file, so it would make all workspaces one."""
    add(root, "a")

    assert "would make all workspaces one" in refusal(root, {flag: "/x"})


@pytest.mark.parametrize("fallback", [None, "GH_TOKEN", "GH_TOKEN,hosts.yml,gh,GITLAB_TOKEN"])
def test_a_common_token_serves_no_workspace(root, fallback):
    """A token of the common environment is not every workspace's, also where it is named."""
    add(root, "a")
    add(root, "b", "GH_TOKEN=tok-b", "GIT_CREDENTIAL_RELAY_SOCKET=/run/x/b.sock")
    environ = {"GH_TOKEN": "tok-common", "GITLAB_TOKEN": "tok-common"}
    a, b = read(root, **environ, **({FALLBACK: fallback} if fallback else {}))

    assert a.config.fallback == []
    assert b.config.fallback == ["GH_TOKEN"]
    token = b.config.secret("GH_TOKEN").read()
    assert token is not None
    assert token.reveal() == "tok-b"


def test_a_workspace_may_name_a_login_for_itself(root):
    """What the operator writes into the file of one workspace is for this one."""
    add(root, "a", f"{FALLBACK}=hosts.yml,GH_TOKEN")
    [tenant] = read(root, GH_TOKEN="tok-common")

    assert tenant.config.fallback == ["hosts.yml"]


@pytest.mark.parametrize(
    "line", [f"{ALLOW}=1000", f"{ALLOW}=all", "GIT_CREDENTIAL_RELAY_ALLOW_GIDS=50"]
)
@pytest.mark.parametrize("own_sockets", [False, True])
def test_two_for_one_caller_need_two_sockets(root, line, own_sockets):
    """Which of two tokens is meant nobody can guess."""
    for name in "ab":
        socket = f"GIT_CREDENTIAL_RELAY_SOCKET=/run/x/{name}.sock"
        add(root, name, line, *([socket] if own_sockets else []))
    if own_sockets:
        assert len(read(root)) == 2
    else:
        assert "workspaces a and b are both for" in refusal(root)


def test_common_callers_are_ambiguous_too(root):
    """Callers that all files inherit are callers of all."""
    add(root, "a")
    add(root, "b")

    assert "are both for uid 1000" in refusal(root, **{ALLOW: "1000"})


def test_gh_sockets_are_ambiguous_like_gits(root):
    """Two workspaces with git sockets of their own and one gh socket are not told apart there."""
    for name in "ab":
        add(
            root,
            name,
            f"{ALLOW}=1000",
            f"GIT_CREDENTIAL_RELAY_SOCKET=/run/x/{name}.sock",
            "GIT_CREDENTIAL_RELAY_GH_SOCKET=/run/x/gh.sock",
        )

    assert "/run/x/gh.sock" in refusal(root)


def test_an_empty_directory_is_a_mistake(root):
    """A sidecar for nobody would look like one that works."""
    assert "has no workspace" in refusal(root)


def test_a_missing_directory_is_named_with_its_setting(tmp_path):
    """Whoever has mistyped it is told which setting to correct."""
    environ = {"GIT_CREDENTIAL_RELAY_WORKSPACES": f"{tmp_path}/none"}
    with pytest.raises(ConfigError) as caught:
        read_tenants(environ, {}, "/s", None)

    assert caught.value.message.startswith("GIT_CREDENTIAL_RELAY_WORKSPACES in the environment: ")
    assert caught.value.hint is not None


def test_a_broken_file_is_named_with_its_line(root):
    """The message leads to the line, and shows nothing of it."""
    add(root, "a", "GIT_CREDENTIAL_RELAY_NO_SUCH=secret-value")
    message = refusal(root)

    assert "a.env:3" in message
    assert "secret-value" not in message


def test_the_plainest_meaning_wins(root):
    """By uid before by group before everybody; a tie is nobody."""
    add(root, "a", f"{ALLOW}=1000")
    add(root, "b", "GIT_CREDENTIAL_RELAY_ALLOW_GIDS=50,51")
    add(root, "c", f"{ALLOW}=all")
    add(root, "d", "GIT_CREDENTIAL_RELAY_ALLOW_GIDS=52")
    tenants = read(root)

    assert choose(tenants, peer(1000, 50)) == "a"
    assert choose(tenants, peer(1001, 50)) == "b"
    assert choose(tenants, peer(1001)) == "c"
    assert choose(tenants, peer(1001, 50, 52)) is None


def test_the_own_user_is_served_where_there_is_one_workspace(root):
    """It has the secrets anyway; which one it means is plain only of one."""
    add(root, "a")
    one = read(root)
    add(root, "b")
    both = read(root)

    assert choose(one, peer(os.geteuid())) == "a"
    assert choose(both, peer(os.geteuid())) is None
    assert choose(one, peer(os.geteuid() + 1)) is None


def test_watched_are_all_files_that_count(root, tmp_path):
    """Each file, the directory, and the authorities that any of them names."""
    add(root, "a", "GIT_CREDENTIAL_RELAY_CA_FILE=/etc/own-ca.pem")
    base = tmp_path / "relay.env"
    base.write_text(f"GIT_CREDENTIAL_RELAY_WORKSPACES={root}\n")
    files = watched_files({"GIT_CREDENTIAL_RELAY_CONFIG": str(base)}, {})

    assert set(files) == {str(base), str(root), str(root / "a.env"), "/etc/own-ca.pem"}


def test_changed_authorities_make_another_workspace(tmp_path):
    """The connections have read the old file."""
    authorities = tmp_path / "ca.pem"
    authorities.write_text("x")
    environ = {"GIT_CREDENTIAL_RELAY_CA_FILE": str(authorities)}
    [before], [same] = read(None, **environ), read(None, **environ)
    authorities.write_text("yz")
    [after] = read(None, **environ)

    assert before.fingerprint == same.fingerprint
    assert before.fingerprint != after.fingerprint
    assert before.identity == after.identity
