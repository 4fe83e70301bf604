"""The steps with the relay in the agent: each acts, then compares evidence and promise."""

from pathlib import Path

from git_credential_relay.demo.acts import (
    MAX_RELAY_LINES,
    clone_with,
    commit,
    expect,
    expect_landed,
    last_token,
    newest_vend,
    push,
    push_with_revoked,
    relay_lines,
    run_push,
    wait_for_expiry,
    within_a_life,
)
from git_credential_relay.demo.agent import Agent
from git_credential_relay.demo.broker import Vend
from git_credential_relay.demo.forge import PlaygroundForge
from git_credential_relay.demo.leaks import (
    find_in_files,
    find_in_texts,
    find_loose_modes,
    needles_for,
)
from git_credential_relay.demo.merge import merge_branch
from git_credential_relay.demo.shell import CommandResult
from git_credential_relay.demo.step import Step
from git_credential_relay.demo.timeline import short_hash
from git_credential_relay.demo.world import FORBIDDEN_REPOSITORY, PROJECT, REPOSITORY, World

BRANCH = "agent/work"


def clone(world: World) -> str:
    """Clone with nothing configured but the relay."""
    result = clone_with(world, world.agent, world.forge.url_of(REPOSITORY), "app")
    expect(result.is_ok, "the clone failed", result)
    vends = world.broker.vends
    expect(len(vends) == 1, f"{len(vends)} tokens were vended")
    expect(
        last_token(world.forge) == vends[0].token_sha256,
        "the forge saw another token than the vended one",
    )
    return ""


def push_from_cache(world: World) -> str:
    """Push with the token that the clone has left in the cache."""

    def act(token: Vend) -> None:
        vends = len(world.broker.vends)
        push(world)
        expect(len(world.broker.vends) == vends, "the broker was asked again")
        expect(last_token(world.forge) == token.token_sha256, "another token was used")

    within_a_life(world, act)
    return ""


def push_after_expiry(world: World) -> str:
    """Push once the token has expired at the forge."""
    old = newest_vend(world)
    wait_for_expiry(world, old)
    vends = len(world.broker.vends)
    push(world)
    new = last_token(world.forge)
    expect(len(world.broker.vends) == vends + 1, "not exactly one new token was vended")
    expect(new != old.token_sha256, "the expired token was used")
    return f"{short_hash(old.token_sha256)} is history, {short_hash(new)} is in use"


def push_after_revocation(world: World) -> str:
    """Push with a token that the forge has revoked, and once more if that push fails."""
    pushes: list[CommandResult] = []

    def act(token: Vend) -> None:
        pushes[:] = push_with_revoked(world, token.token_sha256 or "")

    within_a_life(world, act)
    expect_landed(world.direct_agent, "app", world.forge, REPOSITORY)
    if pushes[0].is_ok:
        return "this git asked again within the same push"
    return "this git gives up on a 401: one push failed, and the next one worked by itself"


def push_without_broker(world: World) -> str:
    """Push while the broker cannot be reached."""

    def act(token: Vend) -> None:
        world.broker.stop()
        world.timeline.event("broker", "is gone: connection refused")
        try:
            push(world)
        finally:
            world.broker.start()
            world.timeline.event("broker", "is back")
        expect(last_token(world.forge) == token.token_sha256, "another token was used")

    within_a_life(world, act)
    return ""


def clone_from_foreign_host(world: World) -> str:
    """Clone from a host that is not ours, with the relay asked for its password."""
    answers = len(world.broker.answers)
    world.timeline.event("agent", "asks the relay for the password of a foreign host")
    result = clone_with(
        world,
        world.agent,
        world.foreign.url_of(REPOSITORY),
        "foreign",
        # Without this line git would not even ask: the relay is configured for our forge alone.
        *("-c", f"credential.helper={world.direct_agent.helper}"),
        *("-c", "credential.useHttpPath=true"),
    )
    expect(not result.is_ok, "the clone worked")
    expect(bool(world.foreign.requests), "the foreign host was not even asked")
    expect(
        not any(request.has_authorization for request in world.foreign.requests),
        "the foreign host was shown a credential",
    )
    expect(len(world.broker.answers) == answers, "the broker was asked about a foreign host")
    expect(not relay_lines(result), "the relay spoke although it was not meant", result)
    return ""


def clone_forbidden_repository(world: World) -> str:
    """Clone a repository that the workspace may not use."""
    vends = len(world.broker.vends)
    result = clone_with(world, world.agent, world.forge.url_of(FORBIDDEN_REPOSITORY), "payroll")
    lines = relay_lines(result)
    for line in lines:
        world.timeline.event("relay", line)
    expect(not result.is_ok, "the clone worked")
    expect(len(world.broker.vends) == vends, "a token was vended")
    expect(any("REPOSITORY_NOT_GRANTED" in line for line in lines), "the code is not shown", result)
    expect("ask whoever owns" in result.stderr, "the broker's hint is not shown", result)
    expect(len(lines) <= MAX_RELAY_LINES, "the explanation is too long", result)
    return ""


def push_to_gitlab(world: World) -> str:
    """Clone from a GitLab of one's own at a port and a path, and push a branch there."""
    rig = world.hire("rig", world.lab, PROJECT)
    result = clone_with(world, rig, world.lab.url_of(PROJECT), "site")
    expect(result.is_ok, "the clone failed", result)
    for agent, directory in ((rig, "site"), (world.agent, "app")):
        switched = agent.git("switch", "--quiet", "-c", BRANCH, cwd=agent.work / directory)
        expect(switched.is_ok, "the branch was not made", switched)
        commit(agent, directory)
        pushed = run_push(world, agent, directory, "origin", BRANCH)
        expect(pushed.is_ok, "the push failed", pushed)
    request = world.lab.requests[-1]
    expect(request.username == "oauth2", f"the user name was {request.username}")
    return ""


def merge_after_expiry(world: World) -> str:
    """Merge the branches at both forges, when every token of their pushes is over."""
    wait_for_expiry(world, max(world.broker.vends, key=lambda vend: vend.expires_at or 0))
    jobs: tuple[tuple[Agent, str, PlaygroundForge, str], ...] = (
        (world.direct_agent, "app", world.forge, REPOSITORY),
        (world.agents["rig"], "site", world.lab, PROJECT),
    )
    for agent, directory, forge, repository in jobs:
        before = last_token(forge)
        world.timeline.event("agent", f"merges {BRANCH} into main of {repository}")
        merged = merge_branch(agent, directory, BRANCH, "main")
        expect(merged.status == "merged", f"{merged.status}: {merged.message}")
        expect(forge.commit_of(repository) == merged.commit, "main is not what was merged")
        expect(last_token(forge) != before, "an expired token was used")
    return ""


def ask_who_used(world: World) -> str:
    """Ask the audit log about the last token that each forge was shown."""
    for forge, workspace in ((world.forge, "agent"), (world.lab, "rig")):
        token = last_token(forge) or ""
        found = world.broker.run(
            *("broker", "audit", "who-used", token, "--config", str(world.broker.config))
        )
        expect(workspace in found, f"the audit log does not name {workspace}")
    return "each token is on record by its hash, as GitHub's own log names it"


def search_for_secrets(world: World) -> str:
    """Search all there is for every token ever minted and every secret."""
    agents = tuple(world.agents.values())
    needles = needles_for(world.secrets)
    texts = [value for agent in agents for value in agent.environment.values()]
    for agent in agents:
        for result in agent.results:
            texts += [*result.arguments, result.stdout, result.stderr]
    caches = tuple(agent.cache_directory for agent in agents)
    kept = (*(agent.secret_file for agent in agents), *world.broker.secret_files)
    found = find_in_files(world.root, needles, (*caches, *kept))
    expect(not found, f"found in {', '.join(map(str, found))}")
    expect(not find_in_texts(texts, needles), "found in the environment or the output of git")
    # The same search must be able to find one where one has to be.
    expect(all(find_in_files(cache, needles) for cache in caches), "a cache holds no token")
    loose = (*(mode for cache in caches for mode in find_loose_modes(cache)), *_loose_files(kept))
    expect(not loose, f"open to others: {', '.join(loose)}")
    tokens = len(world.forge.tokens.issued) + len(world.lab.tokens.issued)
    return f"searched for {tokens} tokens and every secret, in the broker's database and logs too"


STEPS = (
    Step(
        "Make a workspace for a repository, and clone with nothing configured but the relay",
        "the App's access was verified at once, and one token was vended at the moment of use",
        clone,
        chapter="Direct: the relay runs in the agent, for each command anew",
    ),
    Step(
        "Commit and push",
        "the same token came out of the cache; the broker was not asked again",
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
        "The broker is down",
        "the push worked from the cache while the token lives",
        push_without_broker,
    ),
    Step(
        "A foreign host asks for a password",
        "it got nothing: no header, no token, not even a call to the broker",
        clone_from_foreign_host,
    ),
    Step(
        "A repository that this workspace may not use",
        "refused with a code and a hint, and no token was minted",
        clone_forbidden_repository,
    ),
    Step(
        "A GitLab of one's own, at a port and a path",
        "its workspace got a token for one project, with the user name GitLab wants",
        push_to_gitlab,
    ),
    Step(
        "Merge at both forges, when the tokens of the pushes are over",
        "the merge jobs pushed through the same relay, with fresh tokens",
        merge_after_expiry,
    ),
    Step(
        "Who used a token?",
        "the audit log names the workspace, by the hash alone",
        ask_who_used,
    ),
    Step(
        "What is left behind",
        "no secret in homes, work trees, git configuration, environment, output, database or logs",
        search_for_secrets,
    ),
)


def _loose_files(files: tuple[Path, ...]) -> tuple[str, ...]:
    modes = ((file, file.stat().st_mode & 0o777) for file in files)
    return tuple(f"{file} {mode:04o}" for file, mode in modes if mode != 0o600)
