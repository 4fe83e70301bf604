"""What happened for each target a workspace was asked for: use, and what went wrong last.

Git's own client says nothing when an answer is empty, so this is where a person finds out.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from git_credential_relay.credential.credential import Credential
from git_credential_relay.credential.forge import Target
from git_credential_relay.errors import (
    NOT_SERVED,
    ApiError,
    NoCredentialError,
    RelayError,
    first_cause,
)
from git_credential_relay.messages import error_lines
from git_credential_relay.relay.helper import is_silent

# Whoever asks for ever new names must not fill the memory.
MAX_TARGETS = 16384

Name = tuple[str, str | None, str]


def name_of(target: Target) -> Name:
    """What tells `target` from others."""
    return (target.forge.url, target.repository, target.use)


@dataclass(frozen=True, slots=True)
class Trouble:
    """One failure: its code, the lines a helper would print, and when it was (Unix time).

    Not `is_ours`: nobody configured the host, and nobody has anything for it. Only who asks hears.
    """

    code: str
    lines: tuple[str, ...]
    at: float
    is_ours: bool = True


@dataclass(slots=True)
class Use:
    """One target's history; times are Unix seconds, None for never.

    `asks` counts the questions, `hits` those that were answered from the cache. `trouble` is the
    last one; it is over unless `is_troubled`: the last thing that happened was a failure of ours.
    `token_sha256` is the newest token's, and `replaced_sha256` that of the one before it, which
    somebody may still be using.
    """

    target: Target
    asks: int = 0
    hits: int = 0
    used_at: float | None = None
    answered_at: float | None = None
    token_sha256: str | None = None
    replaced_sha256: str | None = None
    fetched_at: float | None = None
    expires_at: int | None = None
    source: str | None = None
    trouble: Trouble | None = None
    # Not by the times: a clock may be put back in between.
    is_troubled: bool = False


@dataclass(slots=True)
class ApiState:
    """How the relay API was met last: a refusal is an answer, and no failure."""

    answered_at: float | None = None
    failed_at: float | None = None
    is_failing: bool = False
    trouble: Trouble | None = None


@dataclass(slots=True)
class Record:
    """The history of one workspace, the targets used last at the end."""

    api: ApiState = field(default_factory=ApiState)
    _uses: OrderedDict[Name, Use] = field(default_factory=OrderedDict)

    def asked(self, target: Target, now: float) -> Use:
        """Note that `target` was asked for; its history."""
        name = name_of(target)
        use = self._uses.get(name)
        if use is None:
            use = self._uses[name] = Use(target)
            if len(self._uses) > MAX_TARGETS:
                self._uses.popitem(last=False)
        else:
            self._uses.move_to_end(name)
        use.asks += 1
        use.used_at = now
        return use

    def find(self, target: Target) -> Use | None:
        """The history of `target`, if it was ever asked for."""
        return self._uses.get(name_of(target))

    def uses(self) -> list[Use]:
        """All histories, the last one used first."""
        return list(reversed(self._uses.values()))

    def used_since(self, then: float) -> Iterator[Use]:
        """The histories of what was used after `then` (Unix time), the last one used first."""
        for use in reversed(self._uses.values()):
            if use.used_at is None or use.used_at <= then:
                return
            yield use

    def last_trouble(self) -> Use | None:
        """The target with the latest trouble that is not over; else that with the latest."""
        troubled = [use for use in self._uses.values() if use.trouble is not None]
        return max(troubled, key=lambda use: (use.is_troubled, _at(use)), default=None)

    def refused(self, target: Target, sha256: str, now: float) -> None:
        """Note that the forge refused the token with this hash, if it is the one we gave."""
        use = self.find(target)
        if use is None or sha256 not in (use.token_sha256, use.replaced_sha256):
            return
        if sha256 == use.token_sha256:
            use.token_sha256 = use.fetched_at = use.expires_at = None
            use.replaced_sha256 = sha256
        failed(use, _refusal(target), now)

    def renewed(self, name: Name, credential: Credential) -> None:
        """Note that `credential` is kept for it from now on; nobody has it yet."""
        use = self._uses.get(name)
        if use is not None:
            _holds(use, credential)

    def api_answered(self, now: float) -> None:
        """Note that the relay API gave a token."""
        self.api.answered_at, self.api.is_failing = now, False

    def api_failed(self, error: RelayError, now: float) -> None:
        """Note that it did not: it refused, or was not to be reached."""
        if error.code in NOT_SERVED:
            self.api_answered(now)
            return
        self.api.trouble = trouble_of(error, now)
        if isinstance(error, ApiError) and not error.retryable:
            self.api.answered_at, self.api.is_failing = now, False
        else:
            self.api.failed_at, self.api.is_failing = now, True


def answered(use: Use, credential: Credential, now: float, *, is_hit: bool = False) -> None:
    """Note that `credential` was given out."""
    use.hits += is_hit
    use.answered_at, use.is_troubled = now, False
    _holds(use, credential)
    use.source = credential.source if credential.source != "cache" else use.source


def _holds(use: Use, credential: Credential) -> None:
    if use.token_sha256 != credential.token_sha256:
        use.replaced_sha256 = use.token_sha256
    use.token_sha256 = credential.token_sha256
    use.fetched_at = credential.fetched_at
    use.expires_at = credential.expires_at


def failed(use: Use, error: RelayError, now: float) -> None:
    """Note that nothing could be given out."""
    is_ours = not (isinstance(error, NoCredentialError) and is_silent(error, use.target))
    trouble = replace(trouble_of(error, now), is_ours=is_ours)
    if use.trouble is not None and _cause(error).is_remembered:
        # The first telling says more than that there was one.
        trouble = replace(trouble, code=use.trouble.code, lines=use.trouble.lines)
    use.trouble, use.is_troubled = trouble, is_ours


def trouble_of(error: RelayError, now: float) -> Trouble:
    """`error` as it is kept and told."""
    return Trouble(_cause(error).code, tuple(error_lines(error)), now)


def _cause(error: RelayError) -> RelayError:
    return first_cause(error.tried) if isinstance(error, NoCredentialError) else error


def _refusal(target: Target) -> RelayError:
    return RelayError(
        f"{target.forge.host} refused the token that it was given for {target}",
        code="token-refused",
        hint="run the command again: it gets a new one",
        retryable=True,
    )


def _at(use: Use) -> float:
    return use.trouble.at if use.trouble else 0.0
