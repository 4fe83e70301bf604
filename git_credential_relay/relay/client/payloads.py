"""The API's successful answers: what they may look like, and what is in them. Pure.

agent-relay's `{token, userToken, installationToken, username, expiresAt, …}` and our broker's
superset of it; Kilo's `{success, data: {token}}` and flat `{github_token, gitlab_token,
gitlab_instance_url}`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from git_credential_relay.credential.forge import GITHUB, GITLAB, Forge
from git_credential_relay.credential.url import normalise_host, split_url
from git_credential_relay.errors import MalformedResponseError, ProtocolError, WrongHostError
from git_credential_relay.relay.client.classify import LONGEST_TEXT, refusal, text_field
from git_credential_relay.relay.client.outcome import Answered
from git_credential_relay.secret import Secret, printable, redact

# A server that does not say which host its token is for speaks of this one alone.
DEFAULT_HOST = "github.com"
MAX_TOKEN = 8192
MAX_USERNAME = 255
LATEST_EXPIRY = 10**11  # seconds: the year 5138; milliseconds, or what no clock can hold, are more
_ABSENT = frozenset(("", "null", "seed-me"))


@dataclass(frozen=True, slots=True)
class Issued:
    """What the API gave. `expires_at` is Unix seconds by the API's clock."""

    token: Secret
    username: str
    expires_at: int | None


def parse_issued(answer: Answered, forge: Forge, fields: Sequence[str]) -> Issued:
    """The credential in an HTTP 200, which must be for `forge`.

    `fields` are the token fields to use, best first. Raises MalformedResponseError with a code
    of its own for each way an answer can be none, WrongHostError for somebody else's token,
    ApiError where an envelope says `success: false`.
    """
    data = _object(answer)
    if data.get("success") is False:
        raise refusal(answer.status, data)
    inner = data.get("data")
    if data.get("success") is True and isinstance(inner, dict):
        data = inner
    if "github_token" in data or "gitlab_token" in data:
        return _parse_flat(data, forge)
    _check_host(data, forge)
    token = next((t for name in fields if (t := _token(data, name))), None)
    if token is None:
        said = text_field(data, "error")
        raise MalformedResponseError(
            "the relay API answered without a token" + (f": {said}" if said else ""),
            code="no-token-in-answer",
            hint=text_field(data, "hint")
            or f"ask whoever runs the relay API; its answer was HTTP {answer.status}",
            details=text_field(data, "details"),
        )
    return Issued(token, _username(data, forge), _expiry(data.get("expiresAt")))


@dataclass(frozen=True, slots=True)
class Granted:
    """What the API says its token may be used for; None where it does not say."""

    host: str | None
    repositories: list[str] | None
    permissions: dict[str, str] | None


def parse_granted(answer: Answered) -> Granted:
    """What an answer says about its token, as safe texts. Fields of other forms count as absent.

    Raises MalformedResponseError for what is no JSON object.
    """
    data = _object(answer)
    inner = data.get("data")
    if data.get("success") is True and isinstance(inner, dict):
        data = inner
    repositories, permissions = data.get("repositories"), data.get("permissions")
    return Granted(
        text_field(data, "host"),
        [_safe(name) for name in repositories if isinstance(name, str)]
        if isinstance(repositories, list)
        else None,
        {_safe(n): _safe(v) for n, v in permissions.items() if isinstance(v, str)}
        if isinstance(permissions, dict)
        else None,
    )


def _safe(text: str) -> str:
    return printable(redact(text), LONGEST_TEXT)


def _object(answer: Answered) -> dict[str, object]:
    if answer.is_cut:
        raise MalformedResponseError("the relay API's answer is too long", code="answer-too-long")
    if answer.body.lstrip()[:1] == b"<":
        raise MalformedResponseError(
            "the relay API answered with a web page",
            code="html-answer",
            hint="check CLOUD_API_URL; a login page or a proxy may be in between",
        )
    try:
        data = json.loads(answer.body)
    except (ValueError, RecursionError) as error:
        raise MalformedResponseError(
            "the relay API's answer is not JSON", code="not-json", hint="check CLOUD_API_URL"
        ) from error
    if not isinstance(data, dict):
        raise MalformedResponseError("the relay API's answer is not an object", code="not-json")
    return data


def _parse_flat(data: dict[str, object], forge: Forge) -> Issued:
    """Kilo's flat form: each token belongs to its own host, and to no other."""
    gitlab_url = data.get("gitlab_instance_url") or ""
    gitlab_host = "gitlab.com"
    try:
        if not isinstance(gitlab_url, str):
            raise ProtocolError("not a text")
        if gitlab_url not in _ABSENT:
            gitlab_host = split_url(gitlab_url)[1]
    except ProtocolError as error:
        raise MalformedResponseError("the relay API named no valid gitlab_instance_url") from error
    for name, kind, host in (
        ("github_token", GITHUB, DEFAULT_HOST),
        ("gitlab_token", GITLAB, gitlab_host),
    ):
        token = _token(data, name)
        if token and forge.kind == kind and forge.host == host:
            return Issued(token, _username({}, forge), None)
    raise _not_for(forge)


def _check_host(data: dict[str, object], forge: Forge) -> None:
    host = data.get("host")
    if host is None:
        if forge.host != DEFAULT_HOST:
            raise _not_for(forge)
        return
    try:
        is_same = isinstance(host, str) and normalise_host(host, forge.scheme) == forge.host
    except ProtocolError:
        is_same = False
    if not is_same:
        raise WrongHostError(
            f"the relay API sent a credential for {printable(str(host), LONGEST_TEXT)},"
            f" not {forge.host}",
            hint="ask whoever runs the relay API; the credential was thrown away",
        )


def _not_for(forge: Forge) -> WrongHostError:
    return WrongHostError(
        f"the relay API has no credential that names {forge.host}",
        code="host-not-named",
        hint=f"an answer without `host` counts for {DEFAULT_HOST} alone",
    )


def _token(data: dict[str, object], name: str) -> Secret | None:
    value = data.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise MalformedResponseError(f"the relay API's {name} is not a text")
    if value in _ABSENT:
        return None
    if len(value) > MAX_TOKEN or not value.isascii() or not value.isprintable() or " " in value:
        raise MalformedResponseError(f"the relay API's {name} is not usable", code="bad-token")
    return Secret(value)


def _username(data: dict[str, object], forge: Forge) -> str:
    value = data.get("username") or forge.username
    if not isinstance(value, str) or not value.isprintable() or len(value) > MAX_USERNAME:
        raise MalformedResponseError(
            "the relay API named no user for its token",
            code="no-username",
            hint=f"a {forge.kind} host needs the bot's own login",
        )
    return value


def _expiry(value: object) -> int | None:
    """Unix seconds of an ISO 8601 text or a number; None when the server does not say."""
    if value is None or value == "":
        return None
    seconds: float | None = None
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
            seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            pass
    elif isinstance(value, int | float) and not isinstance(value, bool):
        seconds = value
    if seconds is None or not 0 <= seconds <= LATEST_EXPIRY:
        raise MalformedResponseError("the relay API's expiresAt is not a time", code="bad-expiry")
    return int(seconds)
