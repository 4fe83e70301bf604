"""From a git URL to a token: workspaces made with the real sources at forges that check."""

import asyncio
import time

import pytest

from git_credential_relay.broker.audit.event import AuditEvent
from git_credential_relay.broker.audit.file import AuditLog
from git_credential_relay.broker.config.watch import ConfigWatch
from git_credential_relay.broker.errors import ForgeRefusedError
from git_credential_relay.broker.policy import Allowed
from git_credential_relay.broker.sources.interface import Lease
from git_credential_relay.broker.sources.registry import build_sources
from git_credential_relay.broker.store.cipher import Cipher, new_key
from git_credential_relay.broker.store.store import Store
from git_credential_relay.broker.workspaces.directory import WorkspaceDirectory
from git_credential_relay.broker.workspaces.operations import Workspaces
from git_credential_relay.broker.workspaces.record import Record
from git_credential_relay.broker.workspaces.wire import CreateRequest
from tests.fakes.github_app import GitHubAppWorld
from tests.fakes.gitlab import REPOSITORY, GitLabWorld

API_URL = "https://broker.example"


@pytest.fixture
def github():
    with GitHubAppWorld(has_git=True) as world:
        world.config()
        yield world


@pytest.fixture
def gitlab():
    with GitLabWorld() as world:
        (world.directory / "broker.toml").write_text(world.config().text)
        yield world


def creating(world, request):
    """What creating answers, and a token minted for the workspace as a vend would."""

    async def nobody(workspace_id):
        return 0, 0

    async def scene():
        path = world.directory
        store = Store.open(f"sqlite:///{path}/made.db", Cipher([new_key()]))
        log = AuditLog(path / "audit.ndjson", max_bytes=10**8, keep=1)
        watch = ConfigWatch(path / "broker.toml")
        sources = build_sources(watch.newest, store)
        directory = WorkspaceDirectory(watch, store)
        workspaces = Workspaces(watch, directory, store, lambda: sources, nobody)
        record = Record(log, AuditEvent(at=0.0, request_id="r1"))
        try:
            made = await workspaces.create(request, record, API_URL)
            found = await directory.find(made.workspace.id)
            assert found is not None
            return made, await mint(sources, found, world.forge, made)
        finally:
            await sources.aclose()
            store.close()
            log.close()

    return asyncio.run(scene())


async def mint(sources, workspace, forge, made):
    repository = made.works[0].repository
    allowed = workspace.policy.decide(forge.host, repository, "git")
    assert isinstance(allowed, Allowed)
    source = sources.for_allowed(allowed)
    assert source is not None
    lease = Lease("lease1", workspace.id, source.name, int(time.time()) + 600)
    return await source.mint(source.narrow(allowed.scope), lease, time.monotonic() + 5)


def test_github_app(github):
    """A URL of a repository with the App installed becomes a workspace whose token can push there
    and nowhere else."""
    made, minted = creating(github, CreateRequest(git_url=github.forge.url_of("acme/app")))
    grant = made.workspace.grants[0]

    assert grant.repository_ids == {"acme/app": github.id_of("acme/app")}
    assert github.git_works(minted.token, minted.username, "acme/app", push=True)
    assert not github.git_works(minted.token, minted.username, "acme/lib", push=False)
    assert made.relay_env["GIT_CREDENTIAL_RELAY_HOSTS"] == f"github={github.forge.url}"


def test_github_app_that_is_not_installed(github):
    """Where the App is not installed the creation fails at once, and says what to do."""
    with pytest.raises(ForgeRefusedError) as caught:
        creating(github, CreateRequest(git_url=github.forge.url_of("other/app")))

    assert caught.value.code == "FORGE_NOT_INSTALLED"
    assert "other" in f"{caught.value.message} {caught.value.hint}"


def test_self_hosted_gitlab_below_a_path(gitlab):
    """Port, path and nested groups of a GitLab of one's own come out as its instance URL."""
    made, minted = creating(gitlab, CreateRequest(git_url=gitlab.forge.url_of(REPOSITORY)))

    assert made.workspace.grants[0].repository_ids == {REPOSITORY: gitlab.project}
    assert made.relay_env["GITLAB_INSTANCE_URL"] == gitlab.forge.url
    assert gitlab.git_works(minted.token, minted.username, REPOSITORY, push=True)
