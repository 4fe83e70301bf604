"""`broker workspace`: make, show and delete workspaces through a running broker."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from git_credential_relay.broker.admin_client import AdminClient
from git_credential_relay.cli.broker.admin import connect, read_file
from git_credential_relay.cli.broker.relay_env import EnvFile, env_lines, needs_http
from git_credential_relay.errors import ConfigError
from git_credential_relay.secret import printable

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--url", metavar="URL", help="the broker; default: where --config listens"),
    click.option(
        "--admin-secret-file",
        metavar="FILE",
        help="the secret of [admin]; default: $BROKER_ADMIN_SECRET, then --config's own",
    ),
    click.option(
        "--config",
        "config_path",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="the broker's configuration; default: ./broker.toml if there is one",
    ),
    click.option(
        "--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True
    ),
)


def _client_command(function: F) -> F:
    """Add what every one of these commands takes, and hand the client over in its place."""

    @wraps(function)
    def with_client(
        *, url: str | None, admin_secret_file: str | None, config_path: Path | None, **rest: Any
    ) -> None:
        ctx = click.get_current_context()
        client = connect(ctx, url, admin_secret_file, config_path)
        try:
            function(client, **rest)
        finally:
            client.close()

    command: Any = with_client
    for option in reversed(_OPTIONS):
        command = option(command)
    result: F = command
    return result


@click.group("workspace")
def workspace_command() -> None:
    """Make, show, rotate and delete workspaces, by the admin API of a running broker.

    The configuration needs an [admin] for it.
    """


@workspace_command.command("create")
@click.argument("git_url", required=False)
@click.option("--id", "id_", metavar="ID", help="its name; made up without")
@click.option("--integration", metavar="NAME", help="the [[forge]] that is to mint")
@click.option("--token-file", metavar="FILE", help="a user's own token, where none mints")
@click.option("--username", help="the login that goes with --token-file")
@click.option(
    "--permission",
    "permissions",
    multiple=True,
    metavar="NAME=LEVEL",
    help="contents=write without; may be given again",
)
@click.option(
    "--use", "uses", type=click.Choice(["git", "api"]), multiple=True, help="both without"
)
@click.option("--read-only", is_flag=True, help="no permission beyond read")
@click.option("--allow-partial", is_flag=True, help="take what the forge gives of the permissions")
@click.option(
    "--from",
    "from_file",
    metavar="FILE",
    help="JSON with grants, identities or other fields of the API; - for stdin",
)
@click.option(
    "--relay-url", metavar="URL", help="where relays reach the broker; default: as this command"
)
@click.option(
    "--write-env", metavar="FILE", help="write a relay.env with the secret there, not to stdout"
)
@_client_command
def create_command(
    client: AdminClient,
    form: str,
    relay_url: str | None,
    write_env: str | None,
    **fields: Any,
) -> None:
    """Make a workspace for GIT_URL, after asking the forge whether it will work.

    Prints the settings of a relay, among them the workspace's secret, which is shown only once.
    """
    body = _body(**fields)
    relay_url = relay_url or client.url
    needs_http(relay_url)
    # Before the workspace is there: its secret must not be lost for want of a place.
    file = EnvFile(write_env) if write_env else None
    try:
        made = client.create(body)
        env = env_lines(made, relay_url)
        if file is not None:
            file.write(env)
    except BaseException:
        if file is not None:
            file.discard()
        raise
    _tell_created(made, env, form, write_env)


@workspace_command.command("show")
@click.argument("id_", metavar="ID")
@_client_command
def show_command(client: AdminClient, id_: str, form: str) -> None:
    """Show one workspace; tokens are masked."""
    _tell(client.show(id_), form)


@workspace_command.command("list")
@_client_command
def list_command(client: AdminClient, form: str) -> None:
    """List all workspaces, those of the file first."""
    found = client.list()
    if form == "json":
        click.echo(json.dumps(found, indent=2))
        return
    for workspace in found:
        names = [name for grant in workspace["grants"] for name in grant["repositories"]]
        click.echo(printable(f"{workspace['id']} {workspace['origin']} {', '.join(names)}"))


@workspace_command.command("rotate")
@click.argument("id_", metavar="ID")
@click.option(
    "--overlap",
    type=click.IntRange(0),
    metavar="SECONDS",
    help="how long the former secret stays valid  [default: 3600]",
)
@_client_command
def rotate_command(client: AdminClient, id_: str, overlap: int | None, form: str) -> None:
    """Give a workspace a new secret, and print it; it is shown only once."""
    answer = client.rotate(id_, overlap)
    click.echo(json.dumps(answer, indent=2) if form == "json" else answer["secret"])


@workspace_command.command("delete")
@click.argument("id_", metavar="ID")
@_client_command
def delete_command(client: AdminClient, id_: str, form: str) -> None:
    """Delete a workspace and end its live tokens; exit code 75 where some live on."""
    answer = client.delete(id_)
    if form == "json":
        click.echo(json.dumps(answer, indent=2))
    else:
        click.echo(f"deleted {id_}; {answer['revoked']} live tokens ended", err=True)
    if answer["failed"]:
        click.echo(
            f"{answer['failed']} could not be ended yet; the broker goes on trying", err=True
        )
        click.get_current_context().exit(75)


def _body(
    git_url: str | None,
    id_: str | None,
    integration: str | None,
    token_file: str | None,
    username: str | None,
    permissions: tuple[str, ...],
    uses: tuple[str, ...],
    read_only: bool,
    allow_partial: bool,
    from_file: str | None,
) -> dict[str, Any]:
    """The request: what the file says, and the options over it."""
    body: dict[str, Any] = _read_json(from_file) if from_file else {}
    if git_url is None and not body:
        raise ConfigError("GIT_URL is missing", code="usage", hint="or give grants by --from FILE")
    given = {
        "gitUrl": git_url,
        "id": id_,
        "integration": integration,
        "token": read_file(token_file, "--token-file").reveal() if token_file else None,
        "username": username,
        "permissions": dict(map(_permission, permissions)) or None,
        "uses": list(uses) or None,
        "readOnly": read_only or None,
        "allowPartial": allow_partial or None,
    }
    return body | {name: value for name, value in given.items() if value is not None}


def _permission(text: str) -> tuple[str, str]:
    name, equals, level = text.partition("=")
    if not equals:
        raise ConfigError(
            f"--permission: {printable(text)} has no level", code="usage", hint="contents=write"
        )
    return name, level


def _read_json(path: str) -> dict[str, Any]:
    try:
        with click.open_file(path, encoding="utf-8") as file:
            body = json.load(file)
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"--from: cannot read {path} as JSON", code="usage") from error
    if not isinstance(body, dict):
        raise ConfigError(f"--from: {path} holds no JSON object", code="usage")
    return body


def _tell_created(made: dict[str, Any], env: list[str], form: str, file: str | None) -> None:
    if form == "json":
        click.echo(json.dumps(made if file is None else made | {"secret": None}, indent=2))
        return
    click.echo(f"made workspace {made['workspace']['id']}", err=True)
    for one in made["works"]:
        click.echo(printable(_works(one)), err=True)
    if file is None:
        click.echo("\n".join(env))
    else:
        click.echo(f"wrote {file}", err=True)


def _works(one: dict[str, Any]) -> str:
    levels = ", ".join(f"{name}={level}" for name, level in one["permissions"].items())
    what = f"{one['host']} {one['repository']}: {levels} ({one['source']})"
    if one["missing"]:
        what += "; not " + ", ".join(one["missing"])
    return what if one["verified"] else what + "; not verified"


def _tell(workspace: dict[str, Any], form: str) -> None:
    if form == "json":
        click.echo(json.dumps(workspace, indent=2))
        return
    click.echo(printable(f"{workspace['id']} {workspace['origin']}"))
    for grant in workspace["grants"]:
        levels = ", ".join(f"{name}={level}" for name, level in grant["permissions"].items())
        names = ", ".join(grant["repositories"])
        own = "; own token" if grant["token"] else ""
        only = "; read-only" if grant["readOnly"] else ""
        click.echo("  " + printable(f"{grant['host']} {names}: {levels}{only}{own}"))
    for identity in workspace["identities"]:
        who = identity["subject"] or identity["subjectPattern"]
        click.echo("  " + printable(f"identity {who} of {identity['issuer']}"))
    for secret in workspace["secrets"]:
        end = secret["expiresAt"] or "for ever"
        click.echo(f"  secret made {secret['createdAt'] or 'in the file'}, valid until {end}")
