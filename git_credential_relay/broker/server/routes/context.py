"""What the layers around the routes leave in an ASGI scope for those inside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ADDRESS = "relay.address"
REQUEST_ID = "relay.request_id"


def address_of(scope: Mapping[str, Any]) -> str | None:
    """The client's address: the peer's, or what trusted proxies say."""
    address: str | None = scope.get(ADDRESS)
    return address


def request_id_of(scope: Mapping[str, Any]) -> str:
    """The id that the answer, the audit and the log have in common."""
    request_id: str = scope.get(REQUEST_ID, "")
    return request_id
