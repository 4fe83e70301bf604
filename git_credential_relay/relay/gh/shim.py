"""The program called gh that stands in front of the real one: a fresh token, then the real gh.

It becomes the real gh, so exit code, signals, terminal and streams are gh's own. A token that the
user has set is the user's choice and stays; ours is told from theirs by a mark beside it. When
there is no token to be had we say why, and gh says what it says without one.
"""

from __future__ import annotations

import os
import sys

from git_credential_relay.errors import CommandNotFoundError, ProtocolError, RelayError, unforeseen
from git_credential_relay.executables import find_program, is_launcher
from git_credential_relay.relay.gh import config_dir
from git_credential_relay.relay.gh.arguments import GIT_CREDENTIAL, PLAIN, SETUP_GIT, Call
from git_credential_relay.relay.process import (
    become,
    given_environment,
    keep_to_home,
    use_default_signals,
)
from git_credential_relay.relay.variables import (
    CODESPACES,
    DEPTH,
    GITHUB_COM,
    GITHUB_TOKENS,
    MARK,
    MAX_DEPTH,
    UNBOUND_IN_GH,
    mark,
    own_tokens,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from git_credential_relay.config import Config
    from git_credential_relay.credential.credential import Credential
    from git_credential_relay.credential.forge import Target

    Environment = dict[str, str]

SETUP_GIT_MESSAGE = (
    "git-credential-relay: `gh auth setup-git` left undone: git asks git-credential-relay,"
    " and gh's own entry would stand in front of it\n"
)


def run(argv: Sequence[str]) -> int:
    """Do what `gh` with these arguments is asked for; returns only where gh is not needed.

    Raises RelayError: there is no gh behind us, or git is answered in gh's place and that fails.
    """
    use_default_signals()
    environ = given_environment()
    ours = _forget(environ)
    keep_to_home(environ)
    call = Call(argv[1:])
    if call.kind == SETUP_GIT:
        sys.stderr.write(SETUP_GIT_MESSAGE)
        return 0
    gh = _real_gh(environ)
    own_path = os.path.abspath(argv[0])
    if is_launcher(own_path):
        # What gh starts as "itself": for git's credentials, and what extensions call.
        environ["GH_PATH"] = own_path
    if call.kind == GIT_CREDENTIAL:
        exit_code = _git_credential(call.words[2:], environ)
        if exit_code is not None:
            return exit_code
    elif call.kind != PLAIN:
        try:
            environ = _with_token(call, argv[1:], environ, ours)
        except RelayError as error:
            _tell(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, gh itself may still work
            _tell(unforeseen(error))
    return become(gh, [gh, *argv[1:]], environ)


def _forget(environ: Environment) -> list[str]:
    """Take out of `environ` what an earlier call of ours put there; the tokens' names."""
    ours = own_tokens(environ, GITHUB_TOKENS)
    for name in (*ours, MARK):
        environ.pop(name, None)
    config_dir.restore(environ)
    return ours


def _real_gh(environ: Environment) -> str:
    """The gh behind us."""
    depth = environ.get(DEPTH, "")
    number = int(depth) if depth.isdecimal() and len(depth) < 4 else 0
    if number >= MAX_DEPTH:
        raise CommandNotFoundError(
            "the gh behind this one calls this one again",
            code="gh-loop",
            hint="remove the script called gh on PATH that does so",
        )
    environ[DEPTH] = str(number + 1)
    gh = find_program("gh", environ.get("PATH"))
    if gh is None:
        raise CommandNotFoundError(
            "there is no gh on PATH besides this stand-in",
            code="gh-not-found",
            hint="install gh: https://cli.github.com",
        )
    return gh


def _with_token(
    call: Call, arguments: Sequence[str], environ: Environment, ours: Sequence[str]
) -> Environment:
    """`environ` with a fresh token for where `call` goes, where that is ours to give."""
    from git_credential_relay.config import load
    from git_credential_relay.relay.compose import build_acquirer

    config = load(environ)
    target = _target(call, environ, config)
    if target is not None and _has_own_token(environ, target.forge.host):
        return environ
    # In a codespace older ones of gh show GITHUB_TOKEN to any host (CVE-2024-53858).
    environ = {name: value for name, value in environ.items() if name != CODESPACES}
    if target is None:
        return environ
    credential = build_acquirer(config).acquire(target)
    if target.forge.host == GITHUB_COM and not _may_go_astray(arguments, environ):
        tokens = dict.fromkeys(("GH_TOKEN", *ours), credential.password.reveal())
        return {**environ, **tokens, **mark(credential)}
    return _with_config_dir(environ, config, target, credential)


def _may_go_astray(arguments: Sequence[str], environ: Environment) -> bool:
    """Whether gh might show the token in GH_TOKEN to another host than github.com.

    It takes that variable for a few more. What may lead it there, past what we have read in the
    arguments, are an alias and a login of the user's own (`gh auth status` tries them all).
    """
    from git_credential_relay.relay.gh.choice import mentions_another_taker

    texts = [*arguments, environ.get("GH_REPO", ""), environ.get("GH_HOST", "")]
    texts += [config_dir.read_own(environ, name) for name in ("config.yml", "hosts.yml")]
    return any(map(mentions_another_taker, texts))


def _with_config_dir(
    environ: Environment, config: Config, target: Target, credential: Credential
) -> Environment:
    from git_credential_relay.relay.gh.choice import takes_gh_token

    variables = config_dir.provide(
        target.forge.host,
        credential.password.reveal(),
        environ,
        config.cache_dirs,
        is_explicit=config.value("GIT_CREDENTIAL_RELAY_CACHE_DIR") is not None,
    )
    hidden = GITHUB_TOKENS if takes_gh_token(target.forge.host) else ()  # it would rather take them
    kept = {name: value for name, value in environ.items() if name not in hidden}
    return {**kept, **variables, **mark(credential)}


def _target(call: Call, environ: Environment, config: Config) -> Target | None:
    """What `call` needs a token for, if that is one of our GitHub hosts."""
    from git_credential_relay.credential.forge import GITHUB, Target
    from git_credential_relay.relay.gh.choice import choose
    from git_credential_relay.relay.remotes import read_addresses

    forges = {f.host: f for f in reversed(config.forges) if f.kind == GITHUB}
    place = choose(call, environ, forges, lambda: read_addresses(environ))
    forge = forges.get(place.host)
    if forge is None:
        return None
    try:
        repository = forge.repository(place.repository) if place.repository else None
    except ProtocolError:
        repository = None  # gh will say what is wrong with it
    return Target(forge, repository, "api")


def _has_own_token(environ: Environment, host: str) -> bool:
    """Whether the user has set a token that gh takes for `host`."""
    from git_credential_relay.config_layers import ABSENT
    from git_credential_relay.relay.gh.choice import takes_gh_token

    names = ("GH_TOKEN",) if takes_gh_token(host) else UNBOUND_IN_GH
    return any(environ.get(name, "").strip() not in ABSENT for name in names)


def _git_credential(arguments: Sequence[str], environ: Environment) -> int | None:
    """Answer git in gh's place; the exit code, or None for what the real gh has to answer."""
    operation = arguments[0] if len(arguments) == 1 else ""
    if operation == "store":
        return 0
    if operation not in ("get", "erase"):
        return None
    from git_credential_relay.config import load
    from git_credential_relay.credential.request import read_request
    from git_credential_relay.relay.compose import build_acquirer
    from git_credential_relay.relay.gh.git_credential import (
        answer,
        github_target,
        parse_gh_request,
    )

    try:
        data = read_request(lambda limit: os.read(0, limit))
        request = parse_gh_request(data)
    except ProtocolError:
        return 0 if operation == "erase" else 1
    config = load(environ)
    target = github_target(request, config.forges, "git")
    if target is None or _has_own_token(environ, target.forge.host):
        _give_back(data)
        return None
    acquirer = build_acquirer(config)
    if operation == "erase":
        acquirer.forget(target, request.password)
        return 0
    sys.stdout.write(answer(request, acquirer.acquire(target)).decode())
    return 0


def _give_back(data: bytes) -> None:
    """Make `data`, which was read from stdin, be what stdin holds."""
    fd = os.memfd_create("request")
    os.write(fd, data)
    os.lseek(fd, 0, os.SEEK_SET)
    os.dup2(fd, 0)
    os.close(fd)


def _tell(error: RelayError) -> None:
    from git_credential_relay.messages import error_lines

    # Without the list of sources: gh says something of its own after it.
    sys.stderr.write("".join(f"{line}\n" for line in error_lines(error, lists_sources=False)))
