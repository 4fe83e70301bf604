"""Whether the forge takes the credential for a push: reading proves nothing about writing.

The advertisement that a push begins with is asked for, and nothing is pushed.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass

from git_credential_relay.config import Config
from git_credential_relay.credential.credential import Credential
from git_credential_relay.credential.forge import Target
from git_credential_relay.doctor.addresses import shown
from git_credential_relay.doctor.helper_commands import PROGRAM
from git_credential_relay.doctor.report import Check, fail, ok, skip, warn
from git_credential_relay.relay.client.http import Http
from git_credential_relay.relay.client.outcome import Answered, Broken, Outcome
from git_credential_relay.relay.deadline import Clock, Deadline

PUSH = "push"
ANONYMOUS = "anonymous-read"

PUSH_SERVICE = "git-receive-pack"
READ_SERVICE = "git-upload-pack"
# A forge's replicas may not know a token that is younger than this (GitHub's Octokit).
REPLICATION_SECONDS = 5.0
REPLICATION_WAIT = 1.5


@dataclass(frozen=True, slots=True)
class Probed:
    """What the forge said to a push with the credential, and to reading without and with it.

    `read` is None where it was not asked for.
    """

    push: Outcome
    anonymous: Outcome
    read: Outcome | None


def probe(config: Config, target: Target, credential: Credential, clock: Clock) -> Probed:
    """Ask the forge of `target`, all within one deadline. Raises ConfigError (proxy, CA file).

    The credential is for that forge, and goes nowhere else: redirects are not followed.
    """
    deadline = Deadline(config.deadline, clock)
    url = f"{target}.git/info/refs"
    http = Http(config, target.forge.url)

    def ask(service: str, headers: dict[str, str]) -> Outcome:
        own = {"Accept": "*/*", "Cache-Control": "no-cache", **headers}
        return http.get(url, deadline.remaining(), headers=own, params={"service": service})

    login = f"{credential.username}:{credential.password.reveal()}".encode()
    basic = {"Authorization": f"Basic {b64encode(login).decode()}"}
    try:
        push = ask(PUSH_SERVICE, basic)
        if _status(push) == 401 and clock.now() - credential.fetched_at < REPLICATION_SECONDS:
            clock.sleep(min(REPLICATION_WAIT, deadline.remaining()))
            push = ask(PUSH_SERVICE, basic)
        anonymous = ask(READ_SERVICE, {})
        read = ask(READ_SERVICE, basic) if _status(push) == 403 else None
    finally:
        http.close()
    return Probed(push, anonymous, read)


def _status(outcome: Outcome | None) -> int | None:
    return outcome.status if isinstance(outcome, Answered) else None


def check_push(target: Target, probed: Probed) -> Iterator[Check]:
    """Whether a push would be accepted; otherwise what the token lacks."""
    yield _judge(target, probed)
    if _status(probed.anonymous) == 200:
        yield ok(ANONYMOUS, f"{target} is public: that it can be read proves nothing")
    else:
        yield ok(ANONYMOUS, f"{target} cannot be read without a credential")


def _judge(target: Target, probed: Probed) -> Check:
    outcome = probed.push
    if isinstance(outcome, Broken):
        words = f"{target.forge.host} cannot be reached ({outcome.trouble.value})"
        return fail(PUSH, "forge-unreachable", f"{words}: {outcome.detail}".rstrip(": "))
    status = outcome.status
    if status == 200:
        if outcome.headers.get("content-type") == f"application/x-{PUSH_SERVICE}-advertisement":
            return ok(PUSH, f"{target.forge.host} accepts a push to {target.repository}")
        words = f"{target.forge.host} answers with something that is not git"
        return fail(PUSH, "not-a-forge", f"{words}; a proxy or a login page may be in between")
    if status == 401:
        return fail(
            PUSH,
            "token-refused",
            f"{target.forge.host} does not take the token: it has expired or was revoked",
            _forget(target),
        )
    if status == 403:
        if _status(probed.read) in (401, 403, 404):
            return fail(
                PUSH,
                "forbidden",
                f"{target.forge.host} refuses the token altogether: suspended, not authorised for"
                " the organisation, or from an address that is not allowed",
            )
        return fail(
            PUSH,
            "insufficient-scope",
            f"{target.forge.host} takes the token, but not for a push to {target.repository}: it"
            " may only read",
        )
    if status == 404:
        return fail(
            PUSH,
            "wrong-installation",
            f"{target.forge.host} shows the token no repository {target.repository}: the token is"
            " for others, or there is none",
        )
    if 300 <= status < 400:
        place = shown(outcome.headers.get("location", "")).partition("/info/refs")[0]
        return warn(PUSH, "repository-moved", f"{target} has moved to {place}")
    return fail(PUSH, "forge-unavailable", f"{target.forge.host} answers HTTP {status}")


def _forget(target: Target) -> str:
    """The command after which the next `get` asks for another token. It needs no token."""
    request = f"protocol={target.forge.scheme}\\nhost={target.forge.host}\\n"
    path = f"{target.forge.root}/{target.repository}".strip("/")
    return f"printf '{request}path={path}\\n\\n' | {PROGRAM} erase"


def not_probed(code: str, words: str) -> Check:
    """The push, where it cannot be looked at."""
    return skip(PUSH, code, words)
