"""How workspaces are shown. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec

from git_credential_relay.broker.config.model import WorkspaceModel
from git_credential_relay.broker.workspace import API, FILE, Workspace
from git_credential_relay.broker.workspaces.document import (
    GrantDocument,
    IdentityDocument,
    WorkspaceDocument,
    masked,
)
from git_credential_relay.broker.workspaces.wire import SecretView, WorkspaceView
from git_credential_relay.credential.forge import GITHUB, GITLAB, STATIC, Forge
from git_credential_relay.credential.url import is_loopback, split_url
from git_credential_relay.errors import ProtocolError


def view_stored(
    id: str, revision: int, document: WorkspaceDocument, created_at: int, updated_at: int
) -> WorkspaceView:
    """A workspace that the admin API made, with masks in place of its tokens."""
    return WorkspaceView(
        id=id,
        origin=API,
        revision=revision,
        created_at=rfc3339(created_at),
        updated_at=rfc3339(updated_at),
        grants=[masked(grant) for grant in document.grants],
        identities=document.identities,
        session_hmac=document.session_hmac,
        secrets=[
            SecretView(
                created_at=rfc3339(secret.created_at),
                expires_at=None if secret.expires_at is None else rfc3339(secret.expires_at),
            )
            for secret in document.secrets
        ],
    )


def view_declared(model: WorkspaceModel, workspace: Workspace) -> WorkspaceView:
    """A workspace of the file."""
    return WorkspaceView(
        id=model.id,
        origin=FILE,
        revision=0,
        created_at=None,
        updated_at=None,
        grants=[GrantDocument(**_fields(grant)) for grant in model.grant],
        identities=[IdentityDocument(**_fields(identity)) for identity in model.identity],
        session_hmac=model.session_hmac,
        secrets=[SecretView(created_at=None, expires_at=None) for _ in workspace.secrets],
    )


def relay_env(id: str, api_url: str, forges: Iterable[Forge], nests: bool) -> dict[str, str]:
    """The settings with which a relay serves this workspace, without its secret.

    github.com and gitlab.com the helper knows by itself. `nests`: a repository of a host of
    unknown kind lies deeper than owner/name.
    """
    env = {"CLOUD_API_URL": api_url, "WORKSPACE_ID": id}
    others = {forge.url: forge for forge in forges if not _is_known(forge)}
    gitlabs = [forge for forge in others.values() if forge.kind == GITLAB]
    if len(gitlabs) == 1:
        env["GITLAB_INSTANCE_URL"] = gitlabs[0].url
        del others[gitlabs[0].url]
    if others:
        env["GIT_CREDENTIAL_RELAY_HOSTS"] = ",".join(
            f"{_relay_kind(forge, nests)}={forge.url}" for forge in others.values()
        )
    if _is_plain(api_url):
        env["GIT_CREDENTIAL_RELAY_ALLOW_HTTP"] = "1"
    return env


def rfc3339(at: int) -> str:
    """Unix seconds as the relay API writes times."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _is_known(forge: Forge) -> bool:
    return forge.url in ("https://github.com", "https://gitlab.com")


def _relay_kind(forge: Forge, nests: bool) -> str:
    if forge.kind != STATIC:
        return forge.kind
    return GITLAB if nests else GITHUB


def _is_plain(api_url: str) -> bool:
    try:
        scheme, host, _ = split_url(api_url)
    except ProtocolError:
        return False
    return scheme == "http" and not is_loopback(host)


def _fields(model: msgspec.Struct) -> dict[str, Any]:
    return {name: getattr(model, name) for name in model.__struct_fields__}
