"""The relay API, asked once: whether it can be reached, what it says, and how fast."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from git_credential_relay.config import TOKEN_FIELDS, Config
from git_credential_relay.credential.credential import Credential
from git_credential_relay.credential.forge import Target
from git_credential_relay.doctor.meeting import Met
from git_credential_relay.doctor.report import Check, fail, ok, skip, warn
from git_credential_relay.errors import NOT_SERVED, RelayError
from git_credential_relay.messages import PROGRAM
from git_credential_relay.relay.client.api import RelayClient, clock_skew, mask
from git_credential_relay.relay.client.classify import Retry, error_body
from git_credential_relay.relay.client.outcome import Answered, Broken, Outcome, Trouble
from git_credential_relay.relay.client.payloads import Granted, parse_granted
from git_credential_relay.relay.deadline import Clock, Deadline
from git_credential_relay.relay.workspace import workspace_secret
from git_credential_relay.secret import Secret
from git_credential_relay.trace import Trace

API = "api"
CLOCK = "clock"
# What we say of a sidecar that answered, and answered nothing.
NOT_AT_SIDECAR = "no-token"
_NO_TROUBLE_OF_THE_API = (*NOT_SERVED, NOT_AT_SIDECAR)


@dataclass(slots=True)
class Asked:
    """What came of asking: a credential, or the error that every `get` would meet.

    `took` is milliseconds; `skew` how many seconds the API's clock is ahead of ours, None where
    it does not say.
    """

    credential: Credential | None = None
    error: RelayError | None = None
    outcome: Outcome | None = None
    granted: Granted | None = None
    took: int = 0
    skew: float | None = None
    secrets: list[Secret] = field(default_factory=list)


def ask(config: Config, target: Target, clock: Clock, trace: Trace) -> Asked:
    """Ask the API once, without trying again, within the configured deadline."""
    asked = Asked()
    secret: Secret | None = None
    client = RelayClient(config, lambda: workspace_secret(config), clock, trace)
    try:
        secret = workspace_secret(config)
        deadline = Deadline(config.deadline, clock)
        started = clock.monotonic()
        asked.outcome = client.send(target, secret, deadline.remaining())
        asked.took = round((clock.monotonic() - started) * 1000)
        if isinstance(asked.outcome, Answered):
            if "date" in asked.outcome.headers:
                asked.skew = clock_skew(asked.outcome.headers, clock.now())
            asked.secrets = _tokens(asked.outcome)
        verdict = client.judge(asked.outcome, target)
        if isinstance(verdict, Retry):
            raise verdict.error
        asked.credential = verdict
        if isinstance(asked.outcome, Answered):
            asked.granted = parse_granted(asked.outcome)
    except RelayError as error:
        if secret is not None:
            mask(error, secret)
        asked.error = error
    finally:
        client.close()
    return asked


def _tokens(answer: Answered) -> list[Secret]:
    """Every token in an answer, used or not."""
    data = error_body(answer.body)
    inner = data.get("data")
    bodies = [data, inner if isinstance(inner, dict) else {}]
    names = (*TOKEN_FIELDS, "github_token", "gitlab_token")
    values = [body.get(name) for body in bodies for name in names]
    return [Secret(value) for value in values if isinstance(value, str)]


def check_api(asked: Asked, url: str) -> Check:
    """Whether the API gives a token; otherwise which part of the way, or of the API, fails."""
    if asked.error is None:
        return ok(API, f"{url} answered in {asked.took} ms")
    if asked.error.code in NOT_SERVED:
        return ok(API, f"{url} answered in {asked.took} ms, and has nothing for this host")
    words = f"{url}: {asked.error.message}"
    outcome = asked.outcome
    if isinstance(outcome, Broken):
        if outcome.trouble is Trouble.TLS and "CERTIFICATE_VERIFY_FAILED" in outcome.detail:
            return fail(
                API,
                "certificate-not-trusted",
                f"{words}; GIT_CREDENTIAL_RELAY_CA_FILE names an authority of your own",
            )
    elif outcome is not None:
        words += f" (after {asked.took} ms)"
    hint = f"; {asked.error.hint}" if asked.error.hint else ""
    # Its code is the API's own, or one of ours for the way there.
    return fail(API, asked.error.code, words + hint)


def check_sidecar_api(met: Met, error: RelayError | None = None) -> Check:
    """How the sidecar meets the API, in its own words; `error` is what a `get` has just met."""
    if met.error is not None:
        return skip(API, "no-sidecar", "the sidecar, which asks it, does not answer")
    for workspace in met.workspaces:
        told = workspace["api"]
        place = f"{told['url'] or 'the relay API'} for workspace {workspace['name']}"
        if told["state"] == "not configured":
            return fail(
                API,
                "sidecar-not-configured",
                f"{place}: the sidecar lacks CLOUD_API_URL, WORKSPACE_ID or WORKSPACE_TOKEN",
            )
        if told["state"] == "failing" and told["trouble"]:
            line = next(iter(told["trouble"]["lines"]), "")
            words = line.removeprefix(f"{PROGRAM}: error: ")
            return fail(API, str(told["trouble"]["code"]), f"{place}: {words}")
    if error is not None and error.code not in _NO_TROUBLE_OF_THE_API:
        hint = f"; {error.hint}" if error.hint else ""
        return fail(API, error.code, f"the sidecar says: {error.message}{hint}")
    states = dict.fromkeys(workspace["api"]["state"] for workspace in met.workspaces)
    return ok(API, f"the sidecar says: {', '.join(states)}")


def check_clock(asked: Asked) -> Iterator[Check]:
    """Whether our clock and the API's agree: expiries come by its clock, git compares with ours."""
    if asked.skew is None:
        yield skip(CLOCK, "no-date", "the API did not say what time it is")
    elif asked.skew:
        direction = "behind" if asked.skew > 0 else "ahead of"
        yield warn(
            CLOCK,
            "clock-skew",
            f"this machine's clock is {abs(round(asked.skew))} s {direction} the relay API's",
        )
    else:
        yield ok(CLOCK, "agrees with the relay API's")
