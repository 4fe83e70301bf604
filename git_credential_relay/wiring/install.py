"""`install` and `uninstall`: from what is wanted, and what is there, to steps."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from git_credential_relay.credential.forge import Forge
from git_credential_relay.errors import ConfigError
from git_credential_relay.settings import DEFAULT_SOCKET
from git_credential_relay.wiring import block, edited, files, own
from git_credential_relay.wiring.change import Plan, Step
from git_credential_relay.wiring.manifest import Manifest
from git_credential_relay.wiring.parts import (
    DIRECT,
    HOSTS,
    SIDECAR,
    Options,
    named_forges,
    wanted,
)
from git_credential_relay.wiring.place import Place
from git_credential_relay.wiring.sidecar import checked


def read_manifest(place: Place) -> Manifest | None:
    """The record of what is installed at `place`, or None. Raises WiringError."""
    path = place.real(place.manifest)
    text = files.read_text(path)
    return None if text is None else Manifest.load(text, path)


def plan_install(place: Place, options: Options) -> Plan:
    """The steps from what is there to what `options`, and earlier installs, want.

    Raises WiringError, ConfigError; nothing has been changed then.
    """
    old = read_manifest(place) or Manifest()
    options = _with_earlier(place, options, old.options)
    goal = wanted(place, options)
    new = Manifest(_recorded(options), {}, {}, list(old.directories))
    steps: list[Step] = []
    notes: list[str] = []
    for path, text in goal.blocks.items():
        before = old.edited.get(path)
        new.edited[path], edits = edited.edit(place, path, text, before, options.forges, notes)
        steps += edits
    for path, (text, mode) in goal.files.items():
        new.own[path], edits = own.put(place, path, text, mode, old.own.get(path))
        steps += edits
    dropped = Manifest(
        edited={p: e for p, e in old.edited.items() if p not in new.edited},
        own={p: o for p, o in old.own.items() if p not in new.own},
    )
    steps += _undo(place, dropped, notes)
    paths = [*goal.blocks, *goal.files]
    if dropped.edited or dropped.own:
        steps.append(_tidy(place, new, paths))
    notes += _launcher_notes(place, options)
    if not steps and old.own:
        return Plan((), tuple(notes))
    # First of all the record: whatever happens after it can be taken back.
    return Plan((_record(place, new, paths), *steps), tuple(notes))


def plan_uninstall(place: Place) -> Plan:
    """The steps back to what was there before. Raises WiringError."""
    manifest = read_manifest(place)
    if manifest is None:
        return Plan((), ("nothing is installed here",))
    notes: list[str] = []
    steps = _undo(place, manifest, notes)
    return Plan((*steps, _forget(place, manifest)), tuple(notes))


def _with_earlier(place: Place, options: Options, earlier: dict[str, Any]) -> Options:
    """`options` and what an earlier install wanted: a derived image adds to its base."""

    def joined(own: Iterable[Forge], name: str) -> tuple[Forge, ...]:
        more = [Forge(*fields) for fields in earlier.get(name, [])]
        return tuple({forge.url: forge for forge in [*more, *own]}.values())

    named = joined(options.named, "named")
    if named:
        named = joined((*_named_by_others(place), *options.named), "named")
    return replace(
        _with_earlier_mode(options, earlier),
        forges=joined(options.forges, "forges"),
        named=named,
        gh=options.gh if options.gh is not None else place.gh or bool(earlier.get("gh")),
        ssh_to_https=options.ssh_to_https or bool(earlier.get("ssh_to_https")),
        identity=options.identity or earlier.get("identity"),
    )


def _with_earlier_mode(options: Options, earlier: dict[str, Any]) -> Options:
    """`options` in the mode, and with the sockets, that count. Raises ConfigError."""
    mode = options.mode or earlier.get("mode") or DIRECT
    if mode != SIDECAR:
        if options.socket is not None or options.gh_socket is not None:
            raise ConfigError(
                "--socket and --gh-socket are the sidecar's",
                code="usage",
                hint="add --mode sidecar, or leave them out",
            )
        return replace(options, mode=mode)
    socket = options.socket if options.socket is not None else earlier.get("socket")
    gh_socket = options.gh_socket if options.gh_socket is not None else earlier.get("gh_socket")
    return replace(
        options,
        mode=mode,
        socket=checked(DEFAULT_SOCKET if socket is None else socket, "--socket"),
        gh_socket=checked(gh_socket, "--gh-socket") if gh_socket else None,
    )


def _recorded(options: Options) -> dict[str, Any]:
    def plain(forges: Iterable[Forge]) -> list[list[str]]:
        return [[forge.kind, forge.scheme, forge.host, forge.root] for forge in forges]

    return {
        "forges": plain(options.forges),
        "named": plain(options.named),
        "ssh_to_https": options.ssh_to_https,
        "identity": options.identity,
        "gh": options.gh,
        "mode": options.mode,
        "socket": options.socket,
        "gh_socket": options.gh_socket,
    }


def _named_by_others(place: Place) -> tuple[Forge, ...]:
    """The hosts in what others wrote into relay.env: a later line takes the place of theirs."""
    theirs, _ = block.split(files.read_text(place.real(place.relay_env)) or "")
    names = dict(edited.settings_in(theirs)).get(HOSTS)
    return named_forges(names, allow_http=True) if names else ()


def _undo(place: Place, manifest: Manifest, notes: list[str]) -> list[Step]:
    steps = []
    for path, own_file in manifest.own.items():
        steps += own.take_back(place, path, own_file, notes)
    for path, edited_file in manifest.edited.items():
        steps += edited.unedit(place, path, edited_file, notes)
    return steps


def _record(place: Place, manifest: Manifest, paths: list[str]) -> Step:
    directories = dict.fromkeys(
        os.path.dirname(place.real(path)) for path in (place.manifest, *paths)
    )

    def act() -> None:
        real = place.real(place.manifest)
        for directory in directories:
            made = [path.removeprefix(place.root) for path in files.make_directories(directory)]
            manifest.directories += made
            if made:
                # Directories too can be taken back from the moment that they are there.
                files.write_text(real, manifest.dump(), 0o644)
        files.write_text(real, manifest.dump(), 0o644)

    return Step((), act)


def _tidy(place: Place, manifest: Manifest, paths: list[str]) -> Step:
    """Remove the directories of ours that nothing at `paths` needs any more."""
    needed = {place.real(os.path.dirname(path)) + "/" for path in (place.manifest, *paths)}

    def act() -> None:
        for directory in sorted(manifest.directories, key=len, reverse=True):
            real = place.real(directory)
            is_needed = any(path.startswith(real + "/") for path in needed)
            if not is_needed and files.remove_directory(real):
                manifest.directories.remove(directory)
        files.write_text(place.real(place.manifest), manifest.dump(), 0o644)

    return Step((), act)


def _forget(place: Place, manifest: Manifest) -> Step:
    def act() -> None:
        files.remove(place.real(place.manifest))
        for directory in sorted(manifest.directories, key=len, reverse=True):
            files.remove_directory(place.real(directory))

    return Step((), act)


def _launcher_notes(place: Place, options: Options) -> list[str]:
    if options.sidecar and not options.has_python:
        return ["the launchers are shell programs: no Python is needed here"]
    notes = _interpreter_notes(place, options.python)
    mode = files.mode_of(place.real(place.relay_env))
    if options.sidecar and place.shared and mode is not None and not mode & stat.S_IROTH:
        notes.append(
            f"{place.relay_env} is closed to other users, whose helper reads there which sidecar"
            " to ask: give the sidecar a file of its own for the secrets, and chmod 0644 this one"
        )
    return notes


def _interpreter_notes(place: Place, python: str) -> list[str]:
    real = place.real(python)
    if not os.path.exists(real):
        return [f"{python} is not there yet; the launchers need it"]
    parents = [real]
    while len(parents[-1]) > len(place.root or "/"):
        parents.append(os.path.dirname(parents[-1]))
    closed = [path for path in parents if not os.stat(path).st_mode & stat.S_IXOTH]
    if place.shared and closed:
        return [f"other users cannot run {python}: {closed[-1]} is closed to them"]
    return []
