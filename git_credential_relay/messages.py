"""How an error is told on stderr, to people and to the agents that read it there."""

from __future__ import annotations

from git_credential_relay.errors import NoCredentialError, RelayError
from git_credential_relay.secret import printable, redact

PROGRAM = "git-credential-relay"


def error_lines(error: RelayError, *, lists_sources: bool = True) -> list[str]:
    """The lines for `error`: what happened, its code, what to do, whether to try again.

    One line, a second one for details; a failed chain adds a line per source that was tried,
    unless told not to.
    """
    advice = [f"hint: {_clean(error.hint)}"] if error.hint else []
    advice.append(_retry_advice(error))
    lines = [f"error: {_clean(error.message)} [{error.code}] ({'; '.join(advice)})"]
    if error.details:
        lines.append(f"details: {_clean(error.details)}")
    if lists_sources and isinstance(error, NoCredentialError) and len(error.tried) > 1:
        lines.append("Fallback chain tried:")
        lines += [
            f"  {number}. {name} - {_clean(cause.message)} [{cause.code}]"
            for number, (name, cause) in enumerate(error.tried, 1)
        ]
    return [f"{PROGRAM}: {line}" for line in lines]


def _retry_advice(error: RelayError) -> str:
    if not error.retryable:
        return (
            "trying again before that will not help" if error.hint else "trying again will not help"
        )
    if error.retry_after:
        return f"try again in {max(1, round(error.retry_after))} s"
    return "trying again may help"


def _clean(text: str) -> str:
    return printable(redact(text))
