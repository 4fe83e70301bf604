"""The OpenAPI 3.1 document of everything the broker answers, for /openapi.json."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec

from git_credential_relay import __version__
from git_credential_relay.broker.policy import USES
from git_credential_relay.broker.server.routes import token, workspaces
from git_credential_relay.broker.server.routes.fields import MAX_TEXT
from git_credential_relay.broker.server.routes.reply import ErrorBody
from git_credential_relay.broker.workspaces import wire
from git_credential_relay.broker.workspaces.directory import ID
from git_credential_relay.broker.workspaces.operations import MAX_PAGE

REFS = "#/components/schemas/{name}"

Json = dict[str, Any]
_STRUCTS = (
    token.TokenBody,
    ErrorBody,
    wire.CreateRequest,
    wire.ChangeRequest,
    wire.RotateRequest,
    wire.WorkspaceView,
    wire.Created,
    wire.Changed,
    wire.Rotated,
    wire.Deleted,
    wire.Page,
)

ERRORS = {
    "400": "The request itself is wrong.",
    "401": "The bearer proves nothing.",
    "403": "The caller may not have this; the code says what is missing.",
    "404": "Nothing is there. HOST_NOT_SERVED: the workspace has nothing at this host.",
    "405": "The path does not know this method.",
    "409": "It exists already, or was changed meanwhile.",
    "413": "The body is too large.",
    "415": "The body is neither JSON nor a form.",
    "422": "The forge, or its integration, cannot give this; the code says why.",
    "429": "Too many requests; Retry-After says when to come again.",
    "500": "Something nobody foresaw.",
    "502": "The forge answered something unusable.",
    "503": "In trouble, or the forge is; trying again may help.",
}


@cache
def document() -> bytes:
    """The document as JSON."""
    _, schemas = msgspec.json.schema_components(_STRUCTS, ref_template=REFS)
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "git-credential-relay broker",
                "version": __version__,
                "description": "Gives workspaces short-lived credentials for git forges.",
                "license": {"name": "MIT", "identifier": "MIT"},
            },
            "paths": {token.PATH: _token_path(), **_admin_paths(), **_read_paths()},
            "components": {
                "schemas": schemas,
                "securitySchemes": {
                    "workspace": {
                        "type": "http",
                        "scheme": "bearer",
                        "description": "The workspace's secret, or its identity token (a JWT).",
                    },
                    "admin": {
                        "type": "http",
                        "scheme": "bearer",
                        "description": "The admin secret, or an administrator's identity token.",
                    },
                },
            },
        }
    )


def json_content(name: str) -> Json:
    """The content of an answer or body whose schema has this name."""
    return {"application/json": {"schema": {"$ref": REFS.format(name=name)}}}


def errors(*statuses: int) -> Json:
    """The refusals of an operation."""
    return {
        str(status): {"description": ERRORS[str(status)], "content": json_content("ErrorBody")}
        for status in statuses
    }


_TEXT = {"type": "string", "minLength": 1, "maxLength": MAX_TEXT, "pattern": r"^[ -~]+$"}
_FIELDS: dict[str, tuple[Json, str]] = {
    "workspaceId": (_TEXT, "Who asks."),
    "host": (_TEXT, "host[:port] of the forge; github.com without it."),
    "path": (_TEXT, "owner/name of the repository."),
    "use": ({"type": "string", "enum": sorted(USES)}, "What the token is for; git without it."),
    "minLifetime": (
        {"type": "integer", "minimum": 0, "maximum": token.MAX_LIFETIME},
        "Seconds that the token must live at least.",
    ),
}


def _token_path() -> Json:
    headers = [
        _parameter("header", "Cache-Control", {"type": "string", "pattern": "^[ -~]*$"},
                   "no-cache: a token minted before now will not do."),
        _parameter("header", "X-Rejected-Token-SHA256",
                   {"type": "string", "pattern": "^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$"},
                   "Base64 SHA-256 of a token that the forge has refused."),
    ]  # fmt: skip
    query = [_parameter("query", name, *field) for name, field in _FIELDS.items()]
    query[0]["required"] = True
    body: Json = {
        "type": "object",
        "properties": {name: schema for name, (schema, _) in _FIELDS.items()},
        "required": ["workspaceId"],
    }
    common: Json = {
        "security": [{"workspace": []}],
        "responses": {
            "200": {"description": "A token.", "content": json_content("TokenBody")},
            **errors(400, 401, 403, 404, 405, 413, 415, 422, 429, 500, 502, 503),
        },
    }
    forms = ("application/json", "application/x-www-form-urlencoded")
    return {
        "parameters": headers,
        "get": {"operationId": "getToken", "parameters": query, **common},
        "post": {
            "operationId": "postToken",
            "requestBody": {
                "required": True,
                "content": {form: {"schema": body} for form in forms},
            },
            **common,
        },
    }


def _parameter(place: str, name: str, schema: Json, description: str) -> Json:
    return {"in": place, "name": name, "schema": schema, "description": description}


def _admin_paths() -> Json:
    id_schema = {"type": "string", "pattern": f"^{ID.pattern}$"}
    id_parameter = _parameter("path", "id", id_schema, "The workspace.") | {"required": True}
    if_match = _parameter(
        "header",
        "If-Match",
        {"type": "string", "pattern": r'^(\*|"[0-9]{1,18}")$'},
        "The revision that was read, as the ETag names it.",
    )
    after = _parameter("query", "after", _TEXT, "The `next` of the page before.")
    limit = _parameter(
        "query", "limit", {"type": "integer", "minimum": 1, "maximum": MAX_PAGE}, "At most so many."
    )
    one = f"{workspaces.PATH}/{{id}}"
    return {
        workspaces.PATH: {
            "get": _admin("listWorkspaces", "Page") | {"parameters": [after, limit]},
            "post": _admin("createWorkspace", "Created", 409, 422, body="CreateRequest"),
        },
        one: {
            "parameters": [id_parameter],
            "get": _admin("showWorkspace", "WorkspaceView", 404),
            "patch": _admin("changeWorkspace", "Changed", 404, 409, 422, body="ChangeRequest")
            | {"parameters": [if_match]},
            "delete": _admin("deleteWorkspace", "Deleted", 404, 409),
        },
        f"{one}/rotate": {
            "parameters": [id_parameter],
            "post": _admin("rotateSecret", "Rotated", 404, 409, 422, body="RotateRequest")
            | {"parameters": [if_match]},
        },
    }


def _admin(operation: str, answer: str, *statuses: int, body: str | None = None) -> Json:
    success = "201" if answer == "Created" else "200"
    of_body = (413, 415) if body else ()
    responses = {
        success: {"description": answer, "content": json_content(answer)},
        **errors(400, 401, 405, 429, 500, 502, 503, *statuses, *of_body),
    }
    described: Json = {
        "operationId": operation,
        "security": [{"admin": []}],
        "responses": dict(sorted(responses.items())),
    }
    if body:
        # Rotating needs nothing said; the other two do.
        is_required = body != "RotateRequest"
        described["requestBody"] = {"required": is_required, "content": json_content(body)}
    return described


def _read_paths() -> Json:
    def read(name: str, summary: str, media: str, schema: Json, *more: int) -> Json:
        content = {media: {"schema": schema}}
        responses: Json = {"200": {"description": summary, "content": content}}
        if 503 in more:
            responses["503"] = {"description": "Not ready.", "content": content}
        responses |= errors(405, *(status for status in more if status != 503))
        return {"get": {"operationId": name, "summary": summary, "responses": responses}}

    status = {
        "type": "object",
        "properties": {"status": {"const": "ok"}},
        "required": ["status"],
    }
    ready = {
        "type": "object",
        "properties": {
            "ready": {"type": "boolean"},
            "checks": {"type": "object", "additionalProperties": {"type": "string"}},
        },
        "required": ["ready", "checks"],
    }
    return {
        "/healthz": read("health", "The process answers.", "application/json", status),
        "/readyz": read("readiness", "What is ready.", "application/json", ready, 503),
        "/metrics": read("metrics", "Prometheus' text.", "text/plain", {"type": "string"}, 429),
        "/openapi.json": read(
            "openapi", "This document.", "application/json", {"type": "object"}, 429
        ),
    }
