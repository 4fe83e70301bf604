"""Endpoints of a forge's API as JSON Schemas, and whether a request or an answer obeys them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from jsonschema import Draft202012Validator, FormatChecker

from git_credential_relay.demo.forge import ApiAnswer, ApiRequest

Schema = Mapping[str, Any]
NOTHING: Schema = {"const": None}
"""No body at all."""


def an_object(
    required: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None
) -> Schema:
    """An object with these fields and no others."""
    return {
        "type": "object",
        "required": sorted(required),
        "properties": {**required, **(optional or {})},
        "additionalProperties": False,
    }


@dataclass(frozen=True)
class Endpoint:
    """One endpoint: `path` is a regex for the whole path, still escaped.

    `headers` is a schema of the request's headers, names in lower case. `request` and `query`
    are those of its body (JSON or a form) and its query; `responses` of the body per status.
    """

    method: str
    path: str
    responses: Mapping[int, Schema]
    request: Schema = field(default_factory=lambda: NOTHING)
    query: Schema = field(default_factory=lambda: an_object({}))
    headers: Schema = field(default_factory=lambda: {"type": "object"})


class Contract:
    """All endpoints of one forge; what is broken is said as text, without any secret."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self._endpoints = tuple(endpoints)

    def broken_by_request(self, request: ApiRequest) -> list[str]:
        """What is wrong with a request of ours."""
        endpoint = self._find(request)
        if endpoint is None:
            return [f"{request.method} {request.path}: no such endpoint"]
        place = f"{request.method} {request.path}"
        return [
            *_errors(f"{place} headers", endpoint.headers, dict(request.headers)),
            *_errors(f"{place} query", endpoint.query, dict(parse_qsl(request.query))),
            *_errors(f"{place} body", endpoint.request, _body_of(request)),
        ]

    def broken_by_answer(self, request: ApiRequest, answer: ApiAnswer) -> list[str]:
        """What is wrong with an answer of the fake forge."""
        endpoint = self._find(request)
        if endpoint is None:
            return []
        place = f"{request.method} {request.path} -> {answer.status}"
        schema = endpoint.responses.get(answer.status)
        if schema is None:
            return [f"{place}: undocumented status"]
        return _errors(place, schema, answer.body or None)

    def _find(self, request: ApiRequest) -> Endpoint | None:
        for endpoint in self._endpoints:
            if endpoint.method == request.method and re.fullmatch(endpoint.path, request.path):
                return endpoint
        return None


def _body_of(request: ApiRequest) -> Any:
    if not request.body:
        return None
    if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return dict(parse_qsl(request.body.decode()))
    try:
        return request.json()
    except ValueError:
        return "not JSON"


def _errors(place: str, schema: Schema, instance: Any) -> list[str]:
    validator = Draft202012Validator(schema, format_checker=FormatChecker())
    # The schema's words and the place alone: an instance may hold a token.
    return [
        f"{place}: {'.'.join(map(str, error.absolute_path)) or 'it'} breaks {error.validator}: "
        f"{error.validator_value}"
        for error in validator.iter_errors(instance)
    ]
