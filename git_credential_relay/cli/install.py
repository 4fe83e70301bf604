"""`install` and `uninstall`: the wiring of git and gh."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Mapping

import click

from git_credential_relay.cli.app import configuration
from git_credential_relay.config import load
from git_credential_relay.credential.forge import Forge
from git_credential_relay.errors import ConfigError
from git_credential_relay.relay.process import given_environment
from git_credential_relay.secret import redact
from git_credential_relay.settings import DEFAULT_SOCKET
from git_credential_relay.wiring.change import Plan
from git_credential_relay.wiring.files import only_one
from git_credential_relay.wiring.install import plan_install, plan_uninstall
from git_credential_relay.wiring.parts import DIRECT, SIDECAR, Options, named_forges
from git_credential_relay.wiring.place import Place, root_place, system_place, user_place

_root = click.option("--root", metavar="DIR", help="a root file system that is being built")
_global = click.option("--global", "for_user", is_flag=True, help="for yourself alone")
_dry_run = click.option("--dry-run", is_flag=True, help="only print what would change")


@click.command("install")
@_root
@_global
@click.option(
    "--host",
    "hosts",
    multiple=True,
    metavar="HOST",
    help="one more forge: [github=|gitlab=|forgejo=]host or URL; may be repeated",
)
@click.option(
    "--gh/--no-gh", default=None, help="put ours in front of gh, or not; by default if gh is there"
)
@click.option("--ssh-to-https", is_flag=True, help="turn git@host: and ssh:// addresses into https")
@click.option("--identity", metavar="'NAME <MAIL>'", help="the author of commits")
@click.option("--python", metavar="PATH", help="interpreter of the launchers  [this one]")
@click.option(
    "--mode",
    type=click.Choice((DIRECT, SIDECAR)),
    help="who answers git: each call for itself, or a sidecar  [as before, or direct]",
)
@click.option("--socket", metavar="PATH", help=f"the sidecar's socket for git  [{DEFAULT_SOCKET}]")
@click.option(
    "--gh-socket", metavar="PATH", help="the sidecar's socket for gh; '' for none  [as before]"
)
@_dry_run
@click.pass_context
def install_command(
    ctx: click.Context,
    root: str | None,
    for_user: bool,
    hosts: tuple[str, ...],
    gh: bool | None,
    ssh_to_https: bool,
    identity: str | None,
    python: str | None,
    mode: str | None,
    socket: str | None,
    gh_socket: str | None,
    dry_run: bool,
) -> None:
    """Wire git and gh, so that every process finds them wired, whatever its environment.

    As root it writes the system's git configuration and launchers in /usr/local/bin; with
    --global your own, and launchers in ~/.local/bin. With --mode sidecar git's own client asks a
    sidecar; a root file system without Python then gets shell programs as launchers. Prints each
    change before it is made; run twice, it changes nothing. `uninstall` takes everything back.
    """
    config = configuration(ctx)
    place = _place(root, for_user, config.environ)
    named = tuple(forge for host in hosts for forge in _named(host, config.allow_http))
    # What a root file system will be configured for is not what this machine is.
    known = config.forges if root is None else load({}, files=[]).forges
    options = Options(
        forges=(*known, *named),
        named=named,
        python=python or _interpreter(place),
        gh=gh,
        ssh_to_https=ssh_to_https,
        identity=identity,
        has_python=python is not None or _is_inside(place),
        mode=mode,
        socket=socket,
        gh_socket=gh_socket,
    )
    _carry_out(place, lambda: plan_install(place, options), dry_run)
    if root is None and place.bin not in config.environ.get("PATH", "").split(":"):
        click.echo(f"note: put {place.bin} in front on PATH, or our gh will not be found")


@click.command("uninstall")
@_root
@_global
@_dry_run
def uninstall_command(root: str | None, for_user: bool, dry_run: bool) -> None:
    """Take back what install changed: each file is again as it was before."""
    place = _place(root, for_user, given_environment())
    _carry_out(place, lambda: plan_uninstall(place), dry_run)


def _place(root: str | None, for_user: bool, environ: Mapping[str, str]) -> Place:
    if root is not None and for_user:
        raise ConfigError("--root and --global exclude each other", code="usage")
    if root is not None:
        return root_place(root, environ.get("PATH"))
    return user_place(environ) if for_user else system_place(environ.get("PATH"))


def _named(host: str, allow_http: bool) -> tuple[Forge, ...]:
    try:
        if not host.strip() or "*" in host:
            raise ConfigError("is no host" if host.strip() else "is empty")
        return named_forges(host, allow_http=allow_http)
    except ConfigError as error:
        raise ConfigError(
            f"--host {redact(host)!r}: {error.message.rpartition(': ')[2]}",
            code="usage",
            hint="give host[:port] or a URL, with github=, gitlab= or forgejo= in front",
        ) from error


def _interpreter(place: Place) -> str:
    """The interpreter that runs this, as it is called in the root it is for."""
    own = sys.executable
    return own.removeprefix(place.root) if _is_inside(place) else own


def _is_inside(place: Place) -> bool:
    """Whether the interpreter that runs this lies in the root it is for."""
    return sys.executable.startswith(f"{place.root}/")


def _carry_out(place: Place, make_plan: Callable[[], Plan], dry_run: bool) -> None:
    # As an error, so that locks are given back on the way out.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    with only_one(place.anchor):
        plan = make_plan()
        for line in plan.lines():
            click.echo(line)
        if not dry_run:
            plan.apply()
