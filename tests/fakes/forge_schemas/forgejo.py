"""Forgejo's endpoints for tokens and repositories, as its 16.0 documents them.

Stricter than Forgejo where a broker that is careless would get too much: a token always names
its repositories and its scopes, and has a name from which its end can be read.
"""

from __future__ import annotations

from tests.fakes.forge_schemas.contract import NOTHING, Contract, Endpoint, Schema, an_object

_TEXT: Schema = {"type": "string", "minLength": 1}
_ID: Schema = {"type": "integer", "minimum": 1}
_TIME: Schema = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)$"}
_ERROR = an_object({"message": _TEXT}, {"url": _TEXT, "errors": {}})
_SCOPE: Schema = {
    "type": "string",
    "pattern": "^(read|write):(activitypub|admin|issue|misc|notification|organization|package"
    "|repository|user)$",
}
_META = an_object({"id": _ID, "owner": _TEXT, "name": _TEXT, "full_name": _TEXT})
_REPOSITORIES: Schema = {"type": ["array", "null"], "items": _META}
_LISTED_FIELDS: dict[str, Schema] = {
    "id": _ID,
    "name": _TEXT,
    "token_last_eight": {"type": "string", "pattern": "^[0-9a-f]{8}$"},
    "scopes": {"type": "array", "items": _SCOPE},
    "created_at": _TIME,
}
_LISTED = an_object(_LISTED_FIELDS, {"sha1": {"const": ""}, "repositories": _REPOSITORIES})
_CREATED = an_object(
    {**_LISTED_FIELDS, "sha1": {"type": "string", "pattern": "^[0-9a-f]{40}$"}},
    {"repositories": _REPOSITORIES},
)
_CREATE = an_object(
    {
        "name": {"type": "string", "pattern": r"^broker/[A-Za-z0-9_-]+/\d+$", "maxLength": 255},
        "scopes": {"type": "array", "minItems": 1, "uniqueItems": True, "items": _SCOPE},
        "repositories": {
            "type": "array",
            "minItems": 1,
            "items": an_object({"owner": _TEXT, "name": _TEXT}),
        },
    }
)
_REPOSITORY = an_object(
    {
        "id": _ID,
        "name": _TEXT,
        "full_name": {"type": "string", "pattern": "^[^/]+/[^/]+$"},
        "private": {"type": "boolean"},
        "archived": {"type": "boolean"},
        "mirror": {"type": "boolean"},
        "permissions": an_object({key: {"type": "boolean"} for key in ("admin", "push", "pull")}),
    }
)


def _headers(authorization: str) -> Schema:
    return {
        "type": "object",
        "required": ["accept", "authorization", "user-agent"],
        "properties": {
            "accept": {"const": "application/json"},
            "authorization": {"pattern": authorization},
        },
    }


_REFUSED: dict[int, Schema] = {401: _ERROR, 403: _ERROR, 404: _ERROR}
_PAGE = an_object(
    {name: {"type": "string", "pattern": r"^[1-9]\d*$"} for name in ("page", "limit")}
)


def _tokens(prefix: str, authorization: str) -> list[Endpoint]:
    headers = _headers(authorization)
    path = rf"/api/v1{prefix}/users/[^/]+/tokens"
    return [
        Endpoint("POST", path, {201: _CREATED, 400: _ERROR, **_REFUSED}, _CREATE, headers=headers),
        Endpoint(
            "GET",
            path,
            {200: {"type": ["array", "null"], "items": _LISTED}, **_REFUSED},
            query=_PAGE,
            headers=headers,
        ),
        Endpoint(
            "DELETE",
            path + r"/\d+",  # a name could be that of somebody's own token
            {204: NOTHING, 422: _ERROR, **_REFUSED},
            headers=headers,
        ),
    ]


CONTRACT = Contract(
    [
        *_tokens("/admin", "^token [0-9a-f]{40}$"),
        *_tokens("", "^Basic [A-Za-z0-9+/=]+$"),
        Endpoint(
            "GET",
            r"/api/v1/repos/[^/]+/[^/]+",
            {200: _REPOSITORY, **_REFUSED},
            headers=_headers("^token [0-9a-f]{40}$"),
        ),
        Endpoint(
            "GET",
            "/api/v1/version",
            {200: an_object({"version": _TEXT}), **_REFUSED},
            headers=_headers("^(token|Basic) "),
        ),
    ]
)
