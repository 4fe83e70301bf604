"""Making one access token: a request that cannot simply be repeated."""

from __future__ import annotations

import contextlib
import time

from git_credential_relay.broker.errors import (
    BrokerError,
    ForgeRefusedError,
    ForgeUnavailableError,
)
from git_credential_relay.broker.sources.gitlab.api import GitLabApi
from git_credential_relay.broker.sources.gitlab.causes import error_of
from git_credential_relay.broker.sources.gitlab.cleanup import Cleanup
from git_credential_relay.broker.sources.gitlab.issued import (
    IssuedToken,
    MismatchError,
    TokenRequest,
    id_of,
    parse_issued,
)
from git_credential_relay.broker.sources.gitlab.places import Place
from git_credential_relay.broker.sources.http import ForgeAnswer


async def make_token(
    api: GitLabApi, cleanup: Cleanup, place: Place, asked: TokenRequest, deadline: float
) -> IssuedToken:
    """The token that was asked for. Raises ForgeError.

    Whatever else may have been made on the way is looked for by its name and deleted; what
    there is no time left for, the lease's end deletes.
    """
    try:
        answer, is_ambiguous = await api.post(place.tokens, asked.serialize(), deadline)
    except ForgeUnavailableError:
        await _delete_orphans(cleanup, place, asked, deadline)
        raise
    if answer.status != 201:
        if is_ambiguous or answer.status >= 500:
            await _delete_orphans(cleanup, place, asked, deadline)
        raise error_of(answer, api.now(), f"{place.kind.removesuffix('s')} {place.id}")
    token = await _checked(cleanup, place, asked, answer)
    if is_ambiguous:
        await _delete_orphans(cleanup, place, asked, deadline, keep=token.id)
    return token


async def _checked(
    cleanup: Cleanup, place: Place, asked: TokenRequest, answer: ForgeAnswer
) -> IssuedToken:
    body = answer.json()
    try:
        return parse_issued(body, asked, place)
    except MismatchError as error:
        await cleanup.delete_refused(place, id_of(body), asked.name)
        raise ForgeRefusedError(
            "the forge gave another token than was asked for; it has been deleted",
            code="FORGE_SCOPE_MISMATCH",
            hint="check that url is that of a GitLab of a version still supported",
            reason=f"not as asked: {error}",
        ) from error


async def _delete_orphans(
    cleanup: Cleanup, place: Place, asked: TokenRequest, deadline: float, keep: int | None = None
) -> None:
    with contextlib.suppress(BrokerError):
        if deadline > time.monotonic():
            await cleanup.delete_named(place, asked.name, deadline, keep)
