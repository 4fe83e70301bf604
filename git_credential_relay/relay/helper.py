"""Git's credential helper: the operations get, store, erase and capability over streams.

Three different answers to `get`: ours, and here it is; not ours: nothing at all; ours but
failed: words on stderr and an empty stdout, so that git goes on with its next helper. On the
warm path.
"""

from __future__ import annotations

from git_credential_relay.credential.credential import answer, capabilities
from git_credential_relay.credential.forge import find_target
from git_credential_relay.credential.request import parse_request, read_request
from git_credential_relay.errors import (
    NOT_SERVED,
    NoCredentialError,
    ProtocolError,
    SourceError,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from git_credential_relay.config import Config
    from git_credential_relay.credential.credential import Credential
    from git_credential_relay.credential.forge import Target
    from git_credential_relay.credential.request import Request
    from git_credential_relay.relay.acquire import Acquirer

# Git asks no other helper then, and nobody at the terminal.
FAIL_CLOSED = b"quit=1\n\n"


def run(
    operation: str,
    read: Callable[[int], bytes],
    write: Callable[[bytes], object],
    config: Callable[[], Config],
    acquirer: Callable[[Config], Acquirer],
) -> None:
    """Serve one operation: request bytes from `read`, the answer in one `write`.

    `config` and `acquirer` are called only for what needs them. A malformed request is nobody
    we serve: no answer and no word. Raises RelayError when the request is ours and failed.
    """
    if operation == "capability":
        write(capabilities())
    if operation not in ("get", "erase"):
        return  # store: what we gave out is in our cache; whatever else git asks: unknown
    try:
        request = parse_request(read_request(read))
    except ProtocolError:
        return
    configured = config()
    target = find_target(configured.forges, request.protocol, request.host, request.path)
    if target is None:
        return
    if operation == "erase":
        acquirer(configured).forget(target, request.password)
        return
    try:
        credential = acquirer(configured).acquire(target, request.refused_sha256, request.username)
    except NoCredentialError as error:
        if is_silent(error, target):
            return
        if configured.fail_closed:
            write(FAIL_CLOSED)
        raise
    if is_wanted(credential, request):
        write(answer(credential, request))


def is_wanted(credential: Credential, request: Request) -> bool:
    """Whether it is the one that git asks for, and not somebody else's."""
    is_first = request.refused_sha256 is None  # later the user name is the one we gave
    return not (is_first and request.username) or request.username == credential.username


def is_silent(error: NoCredentialError, target: Target) -> bool:
    """Whether the answer is silence: nobody configured the host, and no source failed; each
    merely has nothing for it."""
    if target.forge.is_named:
        return False
    return all(isinstance(e, SourceError) or e.code in NOT_SERVED for _, e in error.tried)
