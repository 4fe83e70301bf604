"""GitHub's endpoints for Apps, as api.github.com and an enterprise server document them.

Stricter than GitHub where an App that is careless would get too much: a mint always names its
repositories and permissions.
"""

from __future__ import annotations

from tests.fakes.forge_schemas.contract import NOTHING, Contract, Endpoint, Schema, an_object

_TEXT: Schema = {"type": "string", "minLength": 1}
_ID: Schema = {"type": "integer", "minimum": 1}
_PERMISSIONS: Schema = {
    "type": "object",
    "propertyNames": {"pattern": "^[a-z][a-z_]*$"},
    "additionalProperties": {"enum": ["read", "write", "admin"]},
}
_ACCOUNT = an_object({"login": _TEXT}, {"type": _TEXT})
_ERROR = an_object({"message": _TEXT, "documentation_url": _TEXT}, {"status": _TEXT})
_MOVED = an_object({"message": _TEXT, "url": _TEXT, "documentation_url": _TEXT})
_SELECTION: Schema = {"enum": ["all", "selected"]}
_INSTALLATION = an_object(
    {
        "id": _ID,
        "account": _ACCOUNT,
        "app_id": _ID,
        "permissions": _PERMISSIONS,
        "repository_selection": _SELECTION,
        "suspended_at": {"type": ["string", "null"]},
    }
)
_REPOSITORY = an_object(
    {
        "id": _ID,
        "name": _TEXT,
        "full_name": {"type": "string", "pattern": "^[^/]+/[^/]+$"},
        "owner": _ACCOUNT,
        "private": {"type": "boolean"},
    }
)
_ISSUED = {
    **an_object(
        {
            "token": {"type": "string", "pattern": "^ghs_[A-Za-z0-9._-]{36,}$"},
            "expires_at": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"},
        },
        {
            "permissions": _PERMISSIONS,
            "repository_selection": _SELECTION,
            "repositories": {"type": "array", "items": _REPOSITORY},
        },
    ),
    "if": {"properties": {"repository_selection": {"const": "selected"}}},
    "then": {"required": ["repositories"]},
    "else": {"not": {"required": ["repositories"]}},
}
_NARROW = {
    **an_object(
        {"permissions": {**_PERMISSIONS, "minProperties": 1}},
        {
            "repositories": {
                "type": "array",
                "minItems": 1,
                "maxItems": 500,
                "items": {"type": "string", "pattern": r"^[\w.~+-]+$"},  # bare, without owner
            },
            "repository_ids": {"type": "array", "minItems": 1, "maxItems": 500, "items": _ID},
        },
    ),
    "oneOf": [{"required": ["repositories"]}, {"required": ["repository_ids"]}],
}


def _headers(authorization: str) -> Schema:
    return {
        "type": "object",
        "required": ["accept", "authorization", "user-agent", "x-github-api-version"],
        "properties": {
            "accept": {"const": "application/vnd.github+json"},
            "x-github-api-version": {"const": "2022-11-28"},
            "authorization": {"pattern": authorization},
        },
    }


_AS_APP = _headers(r"^Bearer eyJ[\w-]+\.[\w-]+\.[\w-]+$")
_AS_TOKEN = _headers(r"^Bearer ghs_")
_ANY = r"(?:/api/v3)?"
_NAME = r"/repos/[\w.~+-]+/[\w.~+-]+"
_LIMITED = {403: _ERROR, 429: _ERROR}

CONTRACT = Contract(
    [
        Endpoint(
            "GET",
            _ANY + _NAME + "/installation",
            {200: _INSTALLATION, 301: _MOVED, 401: _ERROR, 404: _ERROR, **_LIMITED},
            headers=_AS_APP,
        ),
        Endpoint(
            "GET",
            _ANY + r"/repositories/\d+/installation",
            {200: _INSTALLATION, 401: _ERROR, 404: _ERROR, **_LIMITED},
            headers=_AS_APP,
        ),
        Endpoint(
            "POST",
            _ANY + r"/app/installations/\d+/access_tokens",
            {201: _ISSUED, 401: _ERROR, 404: _ERROR, 422: _ERROR, **_LIMITED},
            request=_NARROW,
            headers=_AS_APP,
        ),
        Endpoint(
            "DELETE",
            _ANY + "/installation/token",
            {204: NOTHING, 401: _ERROR, **_LIMITED},
            headers=_AS_TOKEN,
        ),
        Endpoint(
            "GET",
            _ANY + "/installation/repositories",
            {
                200: an_object(
                    {
                        "total_count": {"type": "integer"},
                        "repositories": {"type": "array", "items": _REPOSITORY},
                    }
                ),
                401: _ERROR,
                **_LIMITED,
            },
            query=an_object({}, {"per_page": {"const": "1"}}),
            headers=_AS_TOKEN,
        ),
    ]
)
