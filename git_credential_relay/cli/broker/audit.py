"""`broker audit`: who was given which token."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import click

from git_credential_relay.cli.broker.options import broker_extra, config_option
from git_credential_relay.secret import printable

_form = click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True
)
# What a line of text shows, in this order; the whole event is in the JSON.
_SHOWN = ("verdict", "code", "workspace", "unverified_workspace", "caller", "address", "host")
_SHOWN_LAST = ("use", "action", "source", "cache", "token_sha256", "reason", "request_id")


@click.group("audit")
def audit_command() -> None:
    """Read the audit log: who was given which token, and who was refused."""


@audit_command.command("who-used")
@click.argument("token_hash", metavar="HASH")
@config_option
@_form
@click.pass_context
def who_used_command(ctx: click.Context, token_hash: str, config_path: Path, form: str) -> None:
    """Show every event of the token with this SHA-256, oldest first.

    HASH is base64, as in GitHub's `hashed_token`, or hexadecimal. The exit code is 1 when the
    log has nothing of it.
    """
    with broker_extra():
        from git_credential_relay.broker.audit.search import who_used
    is_found = _show(who_used(_audit_file(config_path), token_hash), form)
    if not is_found:
        click.echo("the audit log has nothing of this token", err=True)
    ctx.exit(0 if is_found else 1)


@audit_command.command("tail")
@click.option("-n", "lines", type=click.IntRange(0, 100_000), default=10, show_default=True)
@click.option("--follow", "follows", is_flag=True, help="and each new event, until interrupted")
@config_option
@_form
def tail_command(lines: int, follows: bool, config_path: Path, form: str) -> None:
    """Show the last events."""
    with broker_extra():
        from git_credential_relay.broker.audit.search import tail
    _show(tail(_audit_file(config_path), lines, follows), form)


def _audit_file(config_path: Path) -> Path:
    with broker_extra():
        from git_credential_relay.broker.config.load import load_config
    config = load_config(config_path)
    return config.resolve(config.model.audit_file)


def _show(events: Iterable[dict[str, object]], form: str) -> bool:
    is_any = False
    for event in events:
        is_any = True
        click.echo(json.dumps(event) if form == "json" else _as_text(event))
    return is_any


def _as_text(event: dict[str, object]) -> str:
    at = event.get("at")
    words = [_time(at) if isinstance(at, int | float) else "-", str(event.get("kind", "vend"))]
    # The log leaves out what has its default.
    shown = {"verdict": "failed", "code": None if "verdict" in event else "INTERNAL", **event}
    words += [_word(shown, name) for name in _SHOWN if shown.get(name)]
    repository = event.get("repository") or event.get("repositories")
    if repository:
        words.append(
            ",".join(map(str, repository)) if isinstance(repository, list) else str(repository)
        )
    words += [_word(event, name) for name in _SHOWN_LAST if event.get(name)]
    return printable(" ".join(words), 2000)


def _word(event: dict[str, object], name: str) -> str:
    value = str(event[name])
    return value if name in ("verdict", "workspace", "host") else f"{name}={value}"


def _time(at: float) -> str:
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return "-"
