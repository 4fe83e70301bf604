"""The steps of the demo: each acts, then compares the evidence with its promise."""

from collections.abc import Callable
from dataclasses import dataclass

from git_credential_relay.demo.agent import CommandResult
from git_credential_relay.demo.cloud import Vend
from git_credential_relay.demo.forge import ForgeRequest
from git_credential_relay.demo.leaks import (
    find_in_files,
    find_in_texts,
    find_loose_modes,
    needles_for,
)
from git_credential_relay.demo.timeline import short_hash
from git_credential_relay.demo.world import (
    FORBIDDEN_REPOSITORY,
    REPOSITORY,
    TOKEN_SECONDS,
    World,
)

# Life that a token must have left before a step that relies on the cache.
_COMFORT_SECONDS = 3.0
_MAX_RELAY_LINES = 4


class BrokenPromiseError(Exception):
    """The evidence of a step does not bear out its promise; says what was seen instead."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step; `act` returns a remark for the reader or raises BrokenPromiseError."""

    title: str
    promise: str
    act: Callable[[World], str]


def clone(world: World) -> str:
    """Clone with nothing configured but the relay."""
    result = _clone(world, world.forge.url_of(REPOSITORY), "app")
    _expect(result.is_ok, "the clone failed", result)
    _expect(len(world.cloud.vends) == 1, f"{len(world.cloud.vends)} tokens were vended")
    _expect(
        _last_token(world) == world.cloud.vends[0].token_sha256,
        "the forge saw another token than the vended one",
    )
    return ""


def push_from_cache(world: World) -> str:
    """Push with the token that the clone has left in the cache."""
    token = _comfortable_token(world)
    vends = len(world.cloud.vends)
    _push(world)
    _expect(len(world.cloud.vends) == vends, "the cloud was asked again")
    _expect(_last_token(world) == token.token_sha256, "another token was used")
    return ""


def push_after_expiry(world: World) -> str:
    """Push once the token has expired at the forge."""
    old = _newest_vend(world)
    _wait_for_expiry(world, old)
    vends = len(world.cloud.vends)
    _push(world)
    _expect(len(world.cloud.vends) == vends + 1, "not exactly one new token was vended")
    _expect(_last_token(world) != old.token_sha256, "the expired token was used")
    return f"{short_hash(old.token_sha256)} is history, {short_hash(_last_token(world))} is in use"


def push_after_revocation(world: World) -> str:
    """Push with a token that the forge has revoked, and once more if that push fails."""
    revoked = _comfortable_token(world).token_sha256
    assert revoked is not None  # noqa: S101 - a vend always has a token
    world.forge.tokens.revoke_sha256(revoked)
    world.timeline.event("forge", f"revokes {short_hash(revoked)}, and nobody tells the relay")
    seen = len(world.forge.requests)
    _commit(world)
    first = _run_push(world)
    second = first if first.is_ok else _run_push(world)
    requests = world.forge.requests[seen:]
    _expect(any(_is_refused(r, revoked) for r in requests), "the revoked token was never refused")
    _expect(second.is_ok, "the push after the refused one failed too", second)
    _expect(_last_token(world) != revoked, "the revoked token was used again")
    _expect_landed(world)
    if first.is_ok:
        return "this git asked again within the same push"
    return "this git gives up on a 401: one push failed, and the next one worked by itself"


def push_without_cloud(world: World) -> str:
    """Push while the cloud API cannot be reached."""
    token = _comfortable_token(world)
    world.cloud.stop()
    world.timeline.event("cloud", "is gone: connection refused")
    try:
        _push(world)
    finally:
        world.cloud.start()
        world.timeline.event("cloud", "is back")
    _expect(_last_token(world) == token.token_sha256, "another token was used")
    return ""


def clone_from_foreign_host(world: World) -> str:
    """Clone from a host that is not ours, with the relay asked for its password."""
    answers = len(world.cloud.answers)
    world.timeline.event("agent", "asks the relay for the password of a foreign host")
    result = _clone(
        world,
        world.foreign.url_of(REPOSITORY),
        "foreign",
        # Without this line git would not even ask: the relay is configured for our forge alone.
        *("-c", f"credential.helper={world.agent.helper}"),
        *("-c", "credential.useHttpPath=true"),
    )
    _expect(not result.is_ok, "the clone worked")
    _expect(bool(world.foreign.requests), "the foreign host was not even asked")
    _expect(
        not any(request.has_authorization for request in world.foreign.requests),
        "the foreign host was shown a credential",
    )
    _expect(len(world.cloud.answers) == answers, "the cloud was asked about a foreign host")
    _expect(not _relay_lines(result), "the relay spoke although it was not meant", result)
    return ""


def clone_forbidden_repository(world: World) -> str:
    """Clone a repository that the workspace may not use."""
    vends = len(world.cloud.vends)
    result = _clone(world, world.forge.url_of(FORBIDDEN_REPOSITORY), "payroll")
    lines = _relay_lines(result)
    for line in lines:
        world.timeline.event("relay", line)
    _expect(not result.is_ok, "the clone worked")
    _expect(len(world.cloud.vends) == vends, "a token was vended")
    _expect(
        any("REPOSITORY_NOT_GRANTED" in line for line in lines), "the code is not shown", result
    )
    _expect("Ask the owner" in result.stderr, "the cloud's hint is not shown", result)
    _expect(len(lines) <= _MAX_RELAY_LINES, "the explanation is too long", result)
    return ""


def search_for_secrets(world: World) -> str:
    """Search all that the agent has for every token ever minted and the workspace secret."""
    agent = world.agent
    tokens = [issued.token for issued in world.forge.tokens.issued]
    needles = needles_for([*tokens, world.cloud.workspace_secret])
    texts = [*agent.environment.values()]
    for result in agent.results:
        texts += [*result.arguments, result.stdout, result.stderr]
    excluded = (agent.cache_directory, agent.secret_file)
    found = find_in_files(world.root, needles, excluded)
    _expect(not found, f"found in {', '.join(map(str, found))}")
    _expect(not find_in_texts(texts, needles), "found in the environment or the output of git")
    # The same search must be able to find one where one has to be.
    _expect(bool(find_in_files(agent.cache_directory, needles)), "the cache holds no token")
    loose = (*find_loose_modes(agent.cache_directory), *_loose_secret_file(world))
    _expect(not loose, f"open to others: {', '.join(loose)}")
    return f"searched for {len(tokens)} tokens and the workspace secret; the cache is 0700/0600"


STEPS = (
    Step(
        "Clone a private repository, with nothing configured but the relay",
        "one token was vended for it, at the moment of use",
        clone,
    ),
    Step(
        "Commit and push",
        "the same token came out of the cache; the cloud was not asked again",
        push_from_cache,
    ),
    Step(
        "Wait until the token has expired, push again",
        "a new token was fetched on demand; nobody noticed",
        push_after_expiry,
    ),
    Step(
        "The forge revokes the token behind everyone's back",
        "the dead token was dropped and never used again",
        push_after_revocation,
    ),
    Step(
        "The cloud API is down",
        "the push worked from the cache while the token lives",
        push_without_cloud,
    ),
    Step(
        "A foreign host asks for a password",
        "it got nothing: no header, no token, not even a call to the cloud",
        clone_from_foreign_host,
    ),
    Step(
        "A repository that this workspace may not use",
        "refused with a code and a hint, and no token was minted",
        clone_forbidden_repository,
    ),
    Step(
        "What is left behind",
        "no secret in home, work trees, git configuration, environment or output",
        search_for_secrets,
    ),
)


def _clone(world: World, url: str, directory: str, *settings: str) -> CommandResult:
    world.timeline.event("agent", f"git clone {url} {directory}")
    return world.agent.git(*settings, "clone", "--quiet", url, directory)


def _commit(world: World) -> None:
    directory = world.agent.work / "app"
    with (directory / "diary.txt").open("a") as diary:
        diary.write(f"entry {len(world.agent.results)}\n")
    for arguments in (("add", "diary.txt"), ("commit", "--quiet", "--message", "Write diary")):
        result = world.agent.git(*arguments, cwd=directory)
        _expect(result.is_ok, "the commit failed", result)


def _run_push(world: World) -> CommandResult:
    world.timeline.event("agent", "git push")
    result = world.agent.git("push", "--quiet", cwd=world.agent.work / "app")
    if not result.is_ok:
        world.timeline.event("agent", f"git push failed:\n{_tail(result)}")
    return result


def _push(world: World) -> None:
    _commit(world)
    result = _run_push(world)
    _expect(result.is_ok, "the push failed", result)
    _expect_landed(world)


def _expect_landed(world: World) -> None:
    head = world.agent.git("rev-parse", "HEAD", cwd=world.agent.work / "app").stdout.strip()
    _expect(world.forge.commit_of(REPOSITORY) == head, "the commit did not arrive at the forge")


def _comfortable_token(world: World) -> Vend:
    """Return the newest vend, after getting a fresh one if it is about to expire.

    On a slow machine the steps before may have used up its life, which would prove nothing.
    """
    token = _newest_vend(world)
    if token.expires_at is None or token.expires_at - world.now() < _COMFORT_SECONDS:
        _wait_for_expiry(world, token)
        world.timeline.event("agent", "git fetch")
        world.agent.git("fetch", "--quiet", cwd=world.agent.work / "app")
    return _newest_vend(world)


def _newest_vend(world: World) -> Vend:
    _expect(bool(world.cloud.vends), "no token was ever vended")
    return world.cloud.vends[-1]


def _wait_for_expiry(world: World, token: Vend) -> None:
    remaining = (token.expires_at or 0) - world.now()
    if remaining > 0:
        seconds = min(remaining, TOKEN_SECONDS) + 0.1
        world.timeline.event(
            "agent", f"waits {seconds:.1f} s for {short_hash(token.token_sha256)} to expire"
        )
        world.sleep(seconds)


def _last_token(world: World) -> str | None:
    return world.forge.requests[-1].token_sha256


def _is_refused(request: ForgeRequest, token_sha256: str) -> bool:
    return request.status == 401 and request.token_sha256 == token_sha256


def _relay_lines(result: CommandResult) -> list[str]:
    """Return what the relay wrote: all lines but git's own."""
    own = ("fatal:", "error:", "warning:", "remote:", "Cloning into")
    return [line for line in result.stderr.splitlines() if line and not line.startswith(own)]


def _loose_secret_file(world: World) -> tuple[str, ...]:
    mode = world.agent.secret_file.stat().st_mode & 0o777
    return () if mode == 0o600 else (f"{world.agent.secret_file} {mode:04o}",)


def _expect(is_so: bool, otherwise: str, result: CommandResult | None = None) -> None:
    if not is_so:
        evidence = "" if result is None else f"\n{_tail(result)}"
        raise BrokenPromiseError(otherwise + evidence)


def _tail(result: CommandResult) -> str:
    return "\n".join(result.stderr.strip().splitlines()[-_MAX_RELAY_LINES:])
