"""A request's fields, from the query and the body, each once and of its type. Pure.

A field that is there twice is refused: two programs that read a different one of them are how
requests are smuggled past a policy.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from urllib.parse import parse_qsl

from git_credential_relay.broker.errors import BadRequestError
from git_credential_relay.broker.server.http_errors import MediaTypeError

MAX_TEXT = 1024  # characters
MAX_FIELDS = 64

Fields = Mapping[str, object]
_MAX_KEPT = 512  # bytes


def query_fields(query: bytes) -> Fields:
    """The fields of a query string or of a form. Raises BadRequestError."""
    return _parse_known(query) if len(query) <= _MAX_KEPT else _parse(query)


def _parse(query: bytes) -> Fields:
    try:
        pairs = parse_qsl(
            query.decode("ascii"),
            keep_blank_values=True,
            encoding="utf-8",
            errors="strict",
            max_num_fields=MAX_FIELDS,
        )
    except ValueError as error:
        raise BadRequestError("the fields of the request cannot be read") from error
    return unique(pairs)


# A relay sends the same query each time. There is no secret in one.
_parse_known = lru_cache(maxsize=4096)(_parse)


def body_fields(content_type: bytes, body: bytes) -> Fields:
    """The fields of a body, JSON or a form. Raises BadRequestError."""
    media_type = content_type.partition(b";")[0].strip().lower()
    if media_type == b"application/x-www-form-urlencoded":
        return query_fields(body)
    if not body.strip():
        return {}
    if media_type not in (b"application/json", b""):
        raise MediaTypeError("the body is neither JSON nor a form", hint="application/json")
    try:
        fields = json.loads(body, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise BadRequestError("the body is not JSON") from error
    if not isinstance(fields, dict):
        raise BadRequestError("the body is not a JSON object")
    return fields


def unique(pairs: Iterable[tuple[str, object]]) -> Fields:
    """The fields by name. Raises BadRequestError where one is there twice."""
    fields: dict[str, object] = {}
    for name, value in pairs:
        if name in fields:
            raise BadRequestError("a field is there twice")
        fields[name] = value
    return fields


def find_text(fields: Fields, name: str) -> str | None:
    """A text, None where there is none. Raises BadRequestError for anything else."""
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT or not value.isprintable():
        raise BadRequestError(f"{name} is not a text of 1 to {MAX_TEXT} printable characters")
    return value


def find_count(fields: Fields, name: str, maximum: int) -> int | None:
    """A whole number from 0 to `maximum`, also as a text. Raises BadRequestError."""
    value = fields.get(name)
    if value is None:
        return None
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 12:
        value = int(value)
    # bool is an int to Python, and to nobody else.
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= maximum:
        raise BadRequestError(f"{name} is not a whole number from 0 to {maximum}")
    return value
