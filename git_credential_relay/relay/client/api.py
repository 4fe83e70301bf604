"""The relay API as a function: target in, credential out, or an error that says why not."""

from __future__ import annotations

import threading
from collections.abc import Callable
from urllib.parse import quote

from git_credential_relay.config import Config
from git_credential_relay.credential.credential import Credential
from git_credential_relay.credential.forge import Target
from git_credential_relay.errors import (
    DeadlineExceededError,
    MalformedResponseError,
    RelayError,
    TransportError,
)
from git_credential_relay.relay.client.classify import Fail, Retry, classify, error_body, server_now
from git_credential_relay.relay.client.http import Http, bearer
from git_credential_relay.relay.client.outcome import Answered, Outcome
from git_credential_relay.relay.client.payloads import parse_issued
from git_credential_relay.relay.deadline import Clock, Deadline
from git_credential_relay.secret import Secret, redact, token_sha256
from git_credential_relay.trace import Trace

# Date headers have whole seconds and requests take some: less than this is no skew.
NOTABLE_SKEW = 30.0
# A shorter secret would be found inside the words of an error.
SHORTEST_SECRET = 8


class RelayClient:
    """Asks the relay API of `config`. One per process: it keeps its connection.

    `secret` gives the workspace's secret, anew for each fetch. Any number of threads may fetch at
    a time, and close it meanwhile: what is under way then fails, and nothing is asked any more.
    """

    def __init__(
        self, config: Config, secret: Callable[[], Secret], clock: Clock, trace: Trace
    ) -> None:
        self._config = config
        self._secret = secret
        self._clock = clock
        self._trace = trace
        self._http: Http | None = None
        self._is_closed = False
        self._guard = threading.Lock()

    def fetch(
        self,
        target: Target,
        deadline: Deadline,
        refused_sha256: str | None = None,
        min_lifetime: float | None = None,
    ) -> Credential:
        """A credential for `target`, freshly from the API.

        `refused_sha256` is the hash of a token that the forge refused: the API is asked for
        another one. It is asked for a token with `min_lifetime` seconds left, the configured
        ones if None. Raises RelayError: ApiError, TransportError, MalformedResponseError, …
        """
        secret = self._secret()
        try:
            return self._fetch(target, secret, deadline, refused_sha256, min_lifetime)
        except RelayError as error:
            mask(error, secret)
            raise

    def _fetch(
        self,
        target: Target,
        secret: Secret,
        deadline: Deadline,
        refused_sha256: str | None,
        min_lifetime: float | None,
    ) -> Credential:
        def attempt() -> Credential | Retry:
            seconds = deadline.remaining()
            if not seconds:
                raise DeadlineExceededError("no time left to ask the relay API")
            started = self._clock.monotonic()
            outcome = self.send(target, secret, seconds, refused_sha256, min_lifetime)
            took = round((self._clock.monotonic() - started) * 1000)
            self._trace("api", target=target, outcome=_summary(outcome), ms=took)
            return self.judge(outcome, target)

        verdict = attempt()
        if not isinstance(verdict, Retry):
            return verdict
        if not deadline.is_patient:
            raise verdict.error
        from git_credential_relay.relay.client.retry import keep_trying

        def on_wait(number: int, seconds: float) -> None:
            self._trace("api wait", after_attempt=number, seconds=round(seconds, 2))

        return keep_trying(verdict, attempt, deadline, on_wait)

    def close(self) -> None:
        """Give the connections back."""
        with self._guard:
            http, self._http, self._is_closed = self._http, None, True
        if http is not None:
            http.close()

    def send(
        self,
        target: Target,
        secret: Secret,
        seconds: float,
        refused_sha256: str | None = None,
        min_lifetime: float | None = None,
    ) -> Outcome:
        """Ask once, within `seconds`: what came of it, before anybody judges it."""
        config = self._config
        api_url = config.api_url or ""
        http = self._open(api_url)
        headers = bearer(secret)
        if refused_sha256:
            headers["Cache-Control"] = "no-cache"
            headers["X-Rejected-Token-SHA256"] = refused_sha256
        fields = {
            "workspaceId": config.workspace_id or "",
            "host": target.forge.host,
            "path": target.repository or "",
            "use": target.use,
            "minLifetime": str(int(config.min_lifetime if min_lifetime is None else min_lifetime)),
        }
        fields = {name: value for name, value in fields.items() if value}
        url = api_url + config.api_path
        if config.api_method == "POST":
            return http.post(url, seconds, headers=headers, json=fields)
        return http.get(url, seconds, headers=headers, params=fields)

    def _open(self, api_url: str) -> Http:
        """The one client of all threads: two would mean two sets of connections, one leaked."""
        with self._guard:
            if self._is_closed:
                raise TransportError("the client of the relay API has been closed")
            if self._http is None:
                self._http = Http(self._config, api_url)
            return self._http

    def judge(self, outcome: Outcome, target: Target) -> Credential | Retry:
        """The credential in an outcome, or that asking again can help; otherwise raises."""
        if not (isinstance(outcome, Answered) and 200 <= outcome.status < 300):
            verdict = classify(outcome, self._clock.now())
            if isinstance(verdict, Fail):
                raise verdict.error
            return verdict
        fields = self._config.token_fields(target.use)
        issued = parse_issued(outcome, target.forge, fields)
        now = self._clock.now()
        expires_at = issued.expires_at
        if expires_at is not None:
            expires_at = round(expires_at - clock_skew(outcome.headers, now))
            if expires_at <= now:
                raise MalformedResponseError(
                    "the relay API sent a token that has expired",
                    code="expired-on-arrival",
                    hint="check the clocks of this machine and of the relay API",
                )
        return Credential(
            issued.username,
            issued.token,
            token_sha256=token_sha256(issued.token),
            fetched_at=now,
            expires_at=expires_at,
        )


def clock_skew(headers: dict[str, str], now: float) -> float:
    """How many seconds the API's clock, by its Date header, is ahead of ours; 0 when close.

    Expiries come by its clock and git compares them with ours.
    """
    skew = server_now(headers, now) - now
    return skew if abs(skew) > NOTABLE_SKEW else 0.0


def mask(error: RelayError, secret: Secret) -> None:
    """Take `secret` out of what `error` says, before it is told or remembered.

    Some servers repeat the secret they refuse, and not always letter by letter.
    """
    value = secret.reveal()
    if len(value) < SHORTEST_SECRET:
        return
    spellings = (secret, Secret(quote(value, safe="")))
    error.message = redact(error.message, *spellings)
    error.code = redact(error.code, *spellings)
    error.hint = error.hint and redact(error.hint, *spellings)
    error.details = error.details and redact(error.details, *spellings)


def _summary(outcome: Outcome) -> str:
    if isinstance(outcome, Answered):
        return f"HTTP {outcome.status}"
    return outcome.trouble.value


def forge_login(config: Config, url: str, secret: Secret, seconds: float) -> str | None:
    """The login that a Forgejo or Gitea token belongs to, by GET /api/v1/user, or None."""
    http = Http(config, url)
    try:
        headers = {"Authorization": f"token {secret.reveal()}"}
        outcome = http.get(f"{url}/api/v1/user", seconds, headers=headers, params={})
    finally:
        http.close()
    if not isinstance(outcome, Answered) or outcome.status != 200:
        return None
    login = error_body(outcome.body).get("login")
    return login if isinstance(login, str) and login.isprintable() and login else None
