"""GitLab's endpoints for access tokens and OAuth, as its 19.5 documentation has them.

Stricter than GitLab where a careless broker would get too much or cause a retry nobody wants: a
mint always names its scopes, role and date, and nothing is ever rotated.
"""

from __future__ import annotations

from tests.fakes.forge_schemas.contract import NOTHING, Contract, Endpoint, Schema, an_object

_TEXT: Schema = {"type": "string", "minLength": 1}
_ID: Schema = {"type": "integer", "minimum": 1}
_DIGITS: Schema = {"type": "string", "pattern": "^[0-9]+$"}
_DATE: Schema = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\d$"}
_LEVEL: Schema = {"enum": [10, 15, 20, 30, 40, 50]}
_SCOPES: Schema = {
    "type": "array",
    "minItems": 1,
    "uniqueItems": True,
    "items": {"enum": ["api", "read_api", "read_repository", "write_repository", "self_rotate"]},
}
_WORDS: Schema = {"anyOf": [_TEXT, {"type": "array", "items": _TEXT}, {"type": "object"}]}
_ERROR: Schema = {
    "anyOf": [
        an_object({"message": _WORDS}),
        an_object({"error": _TEXT}, {"error_description": _TEXT, "scope": _TEXT}),
    ]
}
_TOKEN_FIELDS = {
    "id": _ID,
    "user_id": _ID,
    "name": _TEXT,
    "scopes": _SCOPES,
    "active": {"type": "boolean"},
    "revoked": {"type": "boolean"},
    "created_at": {"type": "string", "format": "date-time"},
    "last_used_at": {"type": ["string", "null"]},
    "expires_at": {"anyOf": [_DATE, {"type": "null"}]},
}
_OF_PLACE = {
    **_TOKEN_FIELDS,
    "access_level": _LEVEL,
    "resource_type": {"enum": ["project", "group"]},
    "resource_id": _ID,
}
# The checker takes an empty list for no body.
_LIST: Schema = {"anyOf": [{"type": "array", "items": an_object(_OF_PLACE)}, NOTHING]}
_AUTHORIZED: Schema = {
    "type": "object",
    "properties": {"authorization": {"type": "string", "pattern": "^Bearer [!-~]+$"}},
    "required": ["authorization"],
}
_RATE_LIMITED: Schema = {"type": "string"}
_ACCESS: Schema = {"anyOf": [{"type": "null"}, {"type": "object", "required": ["access_level"]}]}
_PROJECT = an_object(
    {
        "id": _ID,
        "path_with_namespace": {"type": "string", "pattern": "^[^/]+(/[^/]+)+$"},
        "archived": {"type": "boolean"},
        "permissions": an_object({"project_access": _ACCESS, "group_access": _ACCESS}),
    }
)
_GROUP = an_object({"id": _ID, "full_path": _TEXT})
_PLACE = "/api/v4/(projects|groups)"
_NAME = r"([0-9]+|[A-Za-z0-9_.%-]+)"


def _responses(success: dict[int, Schema], *errors: int) -> dict[int, Schema]:
    return {**success, **dict.fromkeys(errors, _ERROR), 429: _RATE_LIMITED}


CONTRACT = Contract(
    [
        Endpoint(
            "GET",
            f"/api/v4/projects/{_NAME}",
            _responses({200: _PROJECT}, 401, 403, 404),
            headers=_AUTHORIZED,
        ),
        Endpoint(
            "GET",
            f"/api/v4/groups/{_NAME}",
            _responses({200: _GROUP}, 401, 403, 404),
            headers=_AUTHORIZED,
        ),
        Endpoint(
            "GET",
            "/api/v4/user",
            _responses({200: {"type": "object", "required": ["id", "username"]}}, 401, 403),
            headers=_AUTHORIZED,
        ),
        Endpoint(
            "GET",
            "/api/v4/personal_access_tokens/self",
            _responses({200: {"type": "object", "required": sorted(_TOKEN_FIELDS)}}, 401, 403, 404),
            headers=_AUTHORIZED,
        ),
        Endpoint(
            "GET",
            f"{_PLACE}/[0-9]+/access_tokens",
            _responses({200: _LIST}, 401, 403, 404),
            query=an_object(
                {"search": _TEXT, "state": {"const": "active"}, "per_page": _DIGITS},
                {"page": _DIGITS},
            ),
            headers=_AUTHORIZED,
        ),
        Endpoint(
            "POST",
            f"{_PLACE}/[0-9]+/access_tokens",
            _responses({201: an_object({**_OF_PLACE, "token": _TEXT})}, 400, 401, 403, 404),
            request=an_object(
                {
                    "name": {"type": "string", "pattern": "^broker/[^/]+/[0-9]+$"},
                    "scopes": _SCOPES,
                    "access_level": _LEVEL,
                    "expires_at": _DATE,
                }
            ),
            headers=_AUTHORIZED,
        ),
        Endpoint(
            "DELETE",
            f"{_PLACE}/[0-9]+/access_tokens/[0-9]+",
            _responses({204: NOTHING}, 400, 401, 403, 404),
            headers=_AUTHORIZED,
        ),
        Endpoint(
            "POST",
            "/oauth/token",
            _responses(
                {
                    200: an_object(
                        {
                            "access_token": _TEXT,
                            "token_type": {"const": "Bearer"},
                            "expires_in": _ID,
                            "refresh_token": _TEXT,
                            "created_at": _ID,
                        },
                        {"scope": _TEXT},
                    )
                },
                400,
                401,
            ),
            request=an_object(
                {
                    "grant_type": {"const": "refresh_token"},
                    "refresh_token": _TEXT,
                    "client_id": _TEXT,
                },
                {"client_secret": _TEXT, "redirect_uri": _TEXT},
            ),
        ),
    ]
)
