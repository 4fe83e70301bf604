"""What is remembered of a workspace from one request to the next; all of it is bounded."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable

from git_credential_relay.credential.forge import Forge, Target
from git_credential_relay.credential.url import normalise_host
from git_credential_relay.errors import ProtocolError

MAX_LOCATIONS = 256
MAX_REFUSED = 256
# gh follows a redirect at once, and asks there again when the download breaks.
LOCATION_SECONDS = 600.0
_URL = re.compile(r"(https?)://([^/?#]*)([/?][!-~]*)?")

Place = tuple[str, str]


class Memory:
    """Where the forge has redirected to, and which tokens it has refused."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._locations: OrderedDict[Place, float] = OrderedDict()
        self._refused: OrderedDict[str, str] = OrderedDict()

    def note_location(self, place: Place) -> None:
        """That the forge sent its caller to `place`."""
        self._locations.pop(place, None)
        self._locations[place] = self._now() + LOCATION_SECONDS
        while len(self._locations) > MAX_LOCATIONS:
            self._locations.popitem(last=False)

    def has_location(self, host: str, target: str) -> bool:
        """Whether the forge has named exactly this place lately."""
        until = self._locations.get((host, target))
        return until is not None and self._now() < until

    def refused_sha256(self, target: Target) -> str | None:
        """The hash of the token that the forge refused last for `target`."""
        return self._refused.get(str(target))

    def note_refused(self, target: Target, sha256: str) -> None:
        """That the forge refused the token with this hash: the next request must get another."""
        self._refused.pop(str(target), None)
        self._refused[str(target)] = sha256
        while len(self._refused) > MAX_REFUSED:
            self._refused.popitem(last=False)

    def note_taken(self, target: Target) -> None:
        """That the forge took the last token for `target`."""
        self._refused.pop(str(target), None)


def parse_location(value: bytes, forge: Forge, host: str) -> Place | None:
    """Host and target that a Location header of `host` leads to, as gh will ask for them.

    None for what must not be followed: anything but https, but for the forge's own scheme at
    its own host; a user name; a host that is not in its plain spelling.
    """
    try:
        text = value.decode("ascii").partition("#")[0]
    except UnicodeDecodeError:
        return None
    if text.startswith("/") and not text.startswith("//"):
        return (host, text)
    found = _URL.fullmatch(text)
    if found is None:
        return None
    scheme, authority, target = found[1], found[2], found[3] or "/"
    try:
        is_plain = normalise_host(authority, "https") == authority
    except ProtocolError:
        return None
    if not is_plain or (scheme != "https" and (scheme, authority) != (forge.scheme, forge.host)):
        return None
    return (authority, target if target.startswith("/") else f"/{target}")
