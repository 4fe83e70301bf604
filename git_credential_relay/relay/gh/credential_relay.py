"""`gh-credential-relay`: the protocol of agent-relay's script of that name.

`get` answers for github.com, from the relay API alone: no local source stands in. Other hosts
and other operations get exit code 0 and no word; every failure is exit code 1.
"""

from __future__ import annotations

import os
import sys

from git_credential_relay.errors import EXIT_FAILED, NoCredentialError, ProtocolError, RelayError
from git_credential_relay.relay.variables import GITHUB_COM

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

API_ALONE = {"GIT_CREDENTIAL_RELAY_FALLBACK": "off"}


def run(arguments: Sequence[str]) -> int:
    """Serve the operation in `arguments`, over stdin and stdout; the exit code."""
    if arguments[:1] != ["get"]:
        return 0
    try:
        return _get()
    except RelayError as error:
        error.exit_code = EXIT_FAILED
        raise


def _get() -> int:
    from git_credential_relay.config import load_from_process
    from git_credential_relay.credential.request import read_request
    from git_credential_relay.relay.compose import build_acquirer
    from git_credential_relay.relay.gh.git_credential import (
        answer,
        github_target,
        parse_gh_request,
    )

    try:
        request = parse_gh_request(read_request(lambda limit: os.read(0, limit)))
    except ProtocolError:
        return 0
    config = load_from_process(API_ALONE)
    target = github_target(request, config.forges, "api")
    if target is None or target.forge.host != GITHUB_COM:
        return 0
    try:
        credential = build_acquirer(config).acquire(target)
    except NoCredentialError as error:
        raise error.tried[0][1] from error  # there is but one source: no chain to tell of
    sys.stdout.write(answer(request, credential).decode())
    return 0
