"""`login` and `logout`: the workspace's secret in the keyring of a person's own machine."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from git_credential_relay.cli.app import configuration
from git_credential_relay.config import Config, load, user_files
from git_credential_relay.errors import ConfigError
from git_credential_relay.secret import Secret

ENV_FILE_NAMES = ("CLOUD_API_URL", "WORKSPACE_ID", "GIT_CREDENTIAL_RELAY_KEYRING")


@click.command("login")
@click.pass_context
def login_command(ctx: click.Context) -> None:
    """Keep the workspace's secret in the keyring, and the rest in your own relay.env.

    Takes the API and the workspace from --cloud-api-url and --workspace-id or where else they
    are configured, and reads the secret from the terminal, or from stdin when it is a pipe.
    """
    from git_credential_relay.relay.cache.keyring import write_workspace_secret

    api_url, workspace_id, config = _workspace(ctx)
    if sys.stdin.isatty():
        text = click.prompt("workspace secret", hide_input=True, err=True)
    else:
        text = sys.stdin.readline()
    text = text.strip()
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise ConfigError("the secret is not one word of plain text", code="usage")
    values = dict(zip(ENV_FILE_NAMES, (api_url, workspace_id, "1"), strict=True))
    load(config.environ, values)  # what only works with the flags of this call is not kept
    path = _env_file(config)
    write_workspace_secret(api_url, workspace_id, Secret(text))
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write_lines(path, [*_other_lines(path), *(f"{n}={v}" for n, v in values.items())])
    click.echo(f"kept the secret of {workspace_id} in the keyring; wrote {path}", err=True)


@click.command("logout")
@click.pass_context
def logout_command(ctx: click.Context) -> None:
    """Forget the workspace's secret, and what login wrote into your own relay.env."""
    from git_credential_relay.relay.cache.keyring import delete_workspace_secret

    api_url, workspace_id, config = _workspace(ctx)
    was_there = delete_workspace_secret(api_url, workspace_id)
    path = _env_file(config)
    lines = _other_lines(path)
    if lines:
        _write_lines(path, lines)
    else:
        path.unlink(missing_ok=True)
    click.echo("forgot the secret" if was_there else "there was no secret to forget", err=True)


def _workspace(ctx: click.Context) -> tuple[str, str, Config]:
    config = configuration(ctx)
    for name, value in (("CLOUD_API_URL", config.api_url), ("WORKSPACE_ID", config.workspace_id)):
        if not value:
            raise ConfigError(f"{name} not set", code="usage", hint=f"set {name} or use its flag")
    return config.api_url or "", config.workspace_id or "", config


def _env_file(config: Config) -> Path:
    files = user_files(config.environ)
    if not files:
        raise ConfigError("there is no home directory to keep relay.env in", hint="set HOME")
    return Path(files[0])


def _other_lines(path: Path) -> list[str]:
    """What somebody else wrote into the file."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.partition("=")[0] not in ENV_FILE_NAMES]


def _write_lines(path: Path, lines: list[str]) -> None:
    new = path.with_name(path.name + ".new")
    new.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    new.chmod(0o600)
    new.replace(path)
