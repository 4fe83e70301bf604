"""Whose API a request is for, and which repository it is about. Pure.

Source: gh's and go-gh's ghinstance: `api.HOST` for github.com and tenants of ghe.com, `/api/v3/`,
`/api/graphql` and `/api/uploads/` at any other host.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from git_credential_relay.credential.forge import GITHUB, Forge
from git_credential_relay.credential.url import is_loopback
from git_credential_relay.errors import ProtocolError

# Of a GraphQL request that is read for its variables; gh's are a few thousand bytes.
MAX_GRAPHQL = 256 * 1024
_COM = "github.com"
_TENANCY = ".ghe.com"
_SUBDOMAINS = ("api", "uploads")
_REST_ROOTS = ("/api/v3", "/api/uploads")
_GRAPHQL = "/api/graphql"


class Api:
    """A forge's API as one request asks it: `path` is below the API's root."""

    __slots__ = ("forge", "is_graphql", "path")

    def __init__(self, forge: Forge, path: str, *, is_graphql: bool) -> None:
        self.forge = forge
        self.path = path
        self.is_graphql = is_graphql


def find_api(forges: Iterable[Forge], host: str, path: str) -> Api | None:
    """The API that `host`, in its plain spelling, and `path` belong to; None when it is not ours.

    Hosts are compared for equality: a token goes to nobody who is only named like us.
    """
    for forge in speakable(forges):
        if _has_api_host(forge.host):
            if host in [f"{subdomain}.{forge.host}" for subdomain in _SUBDOMAINS]:
                return Api(forge, path, is_graphql=path == "/graphql")
        elif host == forge.host:
            if path == _GRAPHQL:
                return Api(forge, "/graphql", is_graphql=True)
            for root in _REST_ROOTS:
                if path == root or path.startswith(root + "/"):
                    return Api(forge, path.removeprefix(root), is_graphql=False)
    return None


def speakable(forges: Iterable[Forge]) -> list[Forge]:
    """Those that gh may be led to. Plain http, which gh cannot see, is for this machine only."""
    return [
        forge
        for forge in forges
        if forge.kind == GITHUB
        and not forge.root
        and (forge.scheme == "https" or is_loopback(forge.host))
    ]


def rest_repository(api: Api) -> str | None:
    """The repository in `/repos/OWNER/NAME/…`; None for every other path."""
    parts = api.path.split("/")
    if len(parts) < 4 or parts[:2] != ["", "repos"]:
        return None
    return _repository(api.forge, parts[2], parts[3])


def graphql_repository(api: Api, body: bytes) -> str | None:
    """The repository in a query's variables, as gh's own queries have them; None if there is none.

    It narrows what is asked for us; the forge alone decides what the token may do there.
    """
    try:
        variables = json.loads(body)["variables"]
        owner, name = variables["owner"], variables.get("name") or variables.get("repo")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    return _repository(api.forge, owner, name)


def _repository(forge: Forge, owner: object, name: object) -> str | None:
    if not (isinstance(owner, str) and isinstance(name, str)) or "/" in owner + name:
        return None
    try:
        return forge.repository(f"{owner}/{name}")
    except ProtocolError:
        return None


def _has_api_host(host: str) -> bool:
    return host == _COM or host.endswith(_TENANCY)
