"""Creating a workspace for a repository: what will work there, said at once."""

import pytest

from git_credential_relay.broker.errors import ForgeRefusedError
from git_credential_relay.broker.sources.interface import Repository
from tests.fakes.github_app import GitHubAppWorld


def verify(world, repository, **permissions):
    """What the source says about a repository."""
    return world.run(lambda source: source.verify(repository, permissions))


def refusal(world, repository, **permissions):
    """Why nothing would work there."""
    with pytest.raises(ForgeRefusedError) as caught:
        verify(world, repository, **permissions)
    return caught.value


def test_what_will_work_is_told_with_the_repositorys_id():
    """The name as the forge writes it, its id, and what the App cannot give, with the reason."""
    with GitHubAppWorld() as world:
        verified = verify(
            world, "ACME/app", contents="write", metadata="read", issues="write", checks="read"
        )

        assert verified.repository == Repository("acme/app", world.id_of("acme/app"))
        assert dict(verified.permissions) == {"contents": "write", "metadata": "read"}
        assert set(verified.missing) == {"issues", "checks"}
        assert "only read" in verified.missing["issues"]
        assert "accept read" in verified.missing["checks"]


def test_no_token_is_left_behind():
    """The token that shows the id can do nothing else, and is revoked at once."""
    with GitHubAppWorld() as world:
        verify(world, "acme/app", contents="write")

        (issued,) = world.forge.tokens.issued
        assert dict(issued.permissions) == {"metadata": "read"}
        assert world.forge.tokens.find_usable(issued.token) is None


@pytest.mark.parametrize(
    ("repository", "permissions", "code"),
    [
        ("other/app", {"contents": "write"}, "FORGE_NOT_INSTALLED"),
        ("acme/none", {"contents": "write"}, "FORGE_NOT_INSTALLED"),
        ("acme/app", {"checks": "write", "issues": "admin"}, "FORGE_PERMISSION_NOT_GRANTED"),
        ("acme/lib", {"contents": "write"}, "FORGE_REPOSITORY_RENAMED"),
    ],
)
def test_where_nothing_would_work_it_is_refused(repository, permissions, code):
    """The refusal says what to do, instead of a workspace that fails at the first push."""
    with GitHubAppWorld() as world:
        world.github.rename("acme/lib", "acme/library")
        error = refusal(world, repository, **permissions)

        assert error.code == code
        assert error.hint
        assert world.forge.tokens.issued == ()


def test_a_suspended_installation_is_refused():
    """It is found, and gives nothing."""
    with GitHubAppWorld() as world:
        world.installation.is_suspended = True

        assert refusal(world, "acme/app", contents="read").code == "FORGE_INSTALLATION_SUSPENDED"
