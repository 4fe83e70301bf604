"""What the steps of the demo do with git, and how they compare the evidence with a promise."""

from collections.abc import Callable

from git_credential_relay.demo.broker import Vend
from git_credential_relay.demo.forge import ForgeRequest, PlaygroundForge
from git_credential_relay.demo.shell import CommandResult, Shell
from git_credential_relay.demo.timeline import short_hash
from git_credential_relay.demo.world import REPOSITORY, World

MAX_RELAY_LINES = 4
_TRIES = 3


class BrokenPromiseError(Exception):
    """The evidence of a step does not bear out its promise; says what was seen instead."""


class LeftOutError(Exception):
    """A step cannot be shown on this machine; says why."""


def clone_with(
    world: World, agent: Shell, url: str, directory: str, *settings: str
) -> CommandResult:
    """Clone as an agent does."""
    world.timeline.event("agent", f"git clone {url} {directory}")
    return agent.git(*settings, "clone", "--quiet", url, directory)


def commit(agent: Shell, directory: str) -> None:
    """Add one commit to a clone."""
    path = agent.work / directory
    with (path / "diary.txt").open("a") as diary:
        diary.write(f"entry {len(agent.results)}\n")
    for arguments in (("add", "diary.txt"), ("commit", "--quiet", "--message", "Write diary")):
        result = agent.git(*arguments, cwd=path)
        expect(result.is_ok, "the commit failed", result)


def run_push(world: World, agent: Shell, directory: str, *refs: str) -> CommandResult:
    """Push a clone, whether it works or not."""
    command = " ".join(("git push", *refs))
    world.timeline.event("agent", command)
    result = agent.git("push", "--quiet", *refs, cwd=agent.work / directory)
    if not result.is_ok:
        world.timeline.event("agent", f"{command} failed:\n{tail(result)}")
    return result


def push(world: World) -> None:
    """Commit and push, and see the commit arrive."""
    commit(world.agent, "app")
    result = run_push(world, world.agent, "app")
    expect(result.is_ok, "the push failed", result)
    expect_landed(world.agent, "app", world.forge, REPOSITORY)


def expect_landed(agent: Shell, directory: str, forge: PlaygroundForge, repository: str) -> None:
    """The forge's main is what the clone has checked out."""
    head = agent.git("rev-parse", "HEAD", cwd=agent.work / directory).stdout.strip()
    expect(forge.commit_of(repository) == head, "the commit did not arrive at the forge")


def within_a_life(world: World, act: Callable[[Vend], None]) -> None:
    """Act with a cached token; again with a longer-lived one where it ran out meanwhile.

    On a machine that is busy for a moment a broken promise may be nothing but that.
    """
    for tries_left in reversed(range(_TRIES)):
        token = comfortable_token(world)
        try:
            act(token)
        except BrokenPromiseError:
            end = (token.expires_at or 0) - world.pace.min_lifetime_seconds
            if world.now() < end or not tries_left:
                raise
            world.hub.lifetime_seconds *= 2
            hash_ = short_hash(token.token_sha256)
            world.timeline.event("agent", f"was too slow for {hash_}, which is over: once more")
        else:
            return


def comfortable_token(world: World) -> Vend:
    """Return the newest vend, after getting a fresh one if it is about to expire.

    On a slow machine the steps before may have used up its life, which would prove nothing.
    """
    token = newest_vend(world)
    if token.expires_at is None or token.expires_at - world.now() < world.pace.comfort_seconds:
        wait_for_expiry(world, token)
        world.timeline.event("agent", "git fetch")
        world.agent.git("fetch", "--quiet", cwd=world.agent.work / "app")
    return newest_vend(world)


def newest_vend(world: World) -> Vend:
    """The last token that was handed out to the acting agent."""
    vends = [vend for vend in world.broker.vends if vend.workspace == world.workspace]
    expect(bool(vends), "no token was ever vended")
    return vends[-1]


def wait_for_expiry(world: World, token: Vend) -> None:
    """Sleep until the token is over."""
    remaining = (token.expires_at or 0) - world.now()
    if remaining > 0:
        seconds = min(remaining, world.hub.lifetime_seconds) + 0.1
        world.timeline.event(
            "agent", f"waits {seconds:.1f} s for {short_hash(token.token_sha256)} to expire"
        )
        world.sleep(seconds)


def push_with_revoked(world: World, revoked: str) -> list[CommandResult]:
    """Have the forge revoke a token, then push, and once more if that fails; the pushes."""
    world.forge.tokens.revoke_sha256(revoked)
    world.timeline.event("forge", f"revokes {short_hash(revoked)}, and nobody tells the relay")
    seen = len(world.forge.requests)
    commit(world.agent, "app")
    pushes = [run_push(world, world.agent, "app")]
    if not pushes[0].is_ok:
        pushes.append(run_push(world, world.agent, "app"))
    requests = world.forge.requests[seen:]
    expect(any(is_refused(r, revoked) for r in requests), "the revoked token was never refused")
    expect(pushes[-1].is_ok, "the push after the refused one failed too", pushes[-1])
    expect(last_token(world.forge) != revoked, "the revoked token was used again")
    return pushes


def last_token(forge: PlaygroundForge) -> str | None:
    """The token that a forge was shown last."""
    return forge.requests[-1].token_sha256


def is_refused(request: ForgeRequest, token_sha256: str) -> bool:
    """Whether this request was refused for this token."""
    return request.status == 401 and request.token_sha256 == token_sha256


def relay_lines(result: CommandResult) -> list[str]:
    """Return what the relay wrote: all lines but git's own."""
    own = ("fatal:", "error:", "warning:", "remote:", "Cloning into")
    return [line for line in result.stderr.splitlines() if line and not line.startswith(own)]


def expect(is_so: bool, otherwise: str, result: CommandResult | None = None) -> None:
    """Go on if it is so.

    Raises:
        BrokenPromiseError: It is not; with the end of what the command has said.
    """
    if not is_so:
        evidence = "" if result is None else f"\n{tail(result)}"
        raise BrokenPromiseError(otherwise + evidence)


def tail(result: CommandResult) -> str:
    """The last lines of what a command has said."""
    return "\n".join(result.stderr.strip().splitlines()[-MAX_RELAY_LINES:])
