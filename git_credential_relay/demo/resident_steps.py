"""The steps with a sidecar beside the agent: each acts, then compares evidence and promise."""

import os
import shutil

from git_credential_relay.demo.acts import (
    LeftOutError,
    clone_with,
    expect,
    expect_landed,
    last_token,
    newest_vend,
    push,
    push_with_revoked,
    relay_lines,
    wait_for_expiry,
    within_a_life,
)
from git_credential_relay.demo.broker import Vend
from git_credential_relay.demo.leaks import find_in_files, find_in_texts, needles_for
from git_credential_relay.demo.resident import Residence, ResidentAgent
from git_credential_relay.demo.shell import CommandResult
from git_credential_relay.demo.step import Step
from git_credential_relay.demo.steps import push_without_broker
from git_credential_relay.demo.timeline import short_hash
from git_credential_relay.demo.world import REPOSITORY, World

_OURS = ("CLOUD_", "WORKSPACE_", "GIT_CREDENTIAL_RELAY_")
# All that its user can read of processes, and of the files here.
_READ_ALL = """\
cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null
find "$1" -type f -exec cat {} + 2>/dev/null
"""
_LOOK_INTO = 'cat "/proc/$1/environ" "/proc/$1/maps" || ls "/proc/$1/fd/"'


def clone_and_push(world: World) -> str:
    """Clone and push where only a sidecar has the secret."""
    residence = world.take_residence()
    agent, socket = residence.agent, residence.sidecar.socket
    world.timeline.event("sidecar", f"is ready on {socket.name}, and has the workspace's secret")
    result = clone_with(world, agent, world.forge.url_of(REPOSITORY), "app")
    expect(result.is_ok, "the clone failed", result)
    expect(last_token(world.forge) == newest_vend(world).token_sha256, "another token was used")

    def act(token: Vend) -> None:
        hits = _hits(agent)
        push(world)
        expect(_hits(agent) > hits, "the push was not answered from memory")
        expect(last_token(world.forge) == token.token_sha256, "another token was used")

    within_a_life(world, act)
    helpers = agent.git("config", "--get-all", f"credential.{world.forge.url}.helper").stdout
    expect(f"\ncache --socket={socket}\n" in helpers, "git's own client was not what asked")
    ours = [name for name in agent.environment if name.startswith(_OURS)]
    expect(not ours, f"the agent's environment has {', '.join(ours)}")
    return _who(residence)


def push_after_expiry(world: World) -> str:
    """Push once the token has expired at the forge."""
    old = newest_vend(world)
    wait_for_expiry(world, old)
    push(world)
    new = last_token(world.forge)
    expect(new != old.token_sha256, "the expired token was used")
    return f"{short_hash(old.token_sha256)} is history, {short_hash(new)} is in use"


def push_after_revocation(world: World) -> str:
    """Push with a revoked token, and ask why that failed."""
    pushes: list[CommandResult] = []
    revoked: list[str] = []

    def act(token: Vend) -> None:
        revoked[:] = [token.token_sha256 or ""]
        pushes[:] = push_with_revoked(world, revoked[0])

    within_a_life(world, act)
    expect_landed(world.agent, "app", world.forge, REPOSITORY)
    replaced = [vend for vend in world.broker.vends if vend.rejected_sha256 == revoked[0]]
    expect(bool(replaced), "the audit log has no token in place of the rejected one")
    if pushes[0].is_ok:
        return "this git asked again within the same push"
    why = _residence(world).agent.why(world.forge.url_of(REPOSITORY))
    world.timeline.event("agent", f"git-credential-relay why {world.forge.url_of(REPOSITORY)}")
    world.timeline.event("sidecar", why.strip())
    expect("[token-refused]" in why, f"it was not explained: {why}")
    return "this git gives up on a 401: one push failed, `why` says so, and the next one worked"


def push_after_a_crash(world: World) -> str:
    """Kill the sidecar, see what git says without it, and push when it is back."""
    sidecar, agent = _residence(world).sidecar, world.agent
    before = newest_vend(world)
    sidecar.kill()
    world.timeline.event("sidecar", "is killed")
    world.timeline.event("agent", "git fetch")
    failed = agent.git("fetch", cwd=agent.work / "app")
    expect(not failed.is_ok, "git had a token from somewhere")
    lines = relay_lines(failed)
    for line in lines:
        world.timeline.event("agent", line)
    expect(any("[sidecar-unreachable]" in line for line in lines), "nobody said why", failed)
    sidecar.start()
    world.timeline.event("sidecar", "is back at the same socket, with no token")
    push(world)
    new = last_token(world.forge)
    expect(new == newest_vend(world).token_sha256, "the token came from somewhere else")
    expect(new != before.token_sha256, "a token has outlived the memory that it was in")
    return ""


def refuse_a_stranger(world: World) -> str:
    """Have somebody else ask."""
    residence = _residence(world)
    uid = residence.stranger_uid
    if uid is None:
        raise LeftOutError("there is no right to ask as another user here")
    stranger = ResidentAgent(world.root / "stranger", residence.agent.machine, uid)
    answers, shown = len(world.broker.answers), len(world.forge.requests)
    world.timeline.event("foreign", f"uid {uid}: git ls-remote {world.forge.url}")
    result = stranger.git("ls-remote", world.forge.url_of(REPOSITORY))
    for line in relay_lines(result):
        world.timeline.event("foreign", line)
    expect(not result.is_ok, "the stranger could read the repository")
    expect("[sidecar-refused]" in result.stderr, "it was not said why", result)
    requests = world.forge.requests[shown:]
    expect(not any(each.has_authorization for each in requests), "the forge was shown a token")
    expect(len(world.broker.answers) == answers, "the broker was asked for the stranger")
    return ""


def ask_the_api(world: World) -> str:
    """Have the real gh ask the forge's API."""
    gh = shutil.which("gh")
    if gh is None:
        raise LeftOutError("gh is not installed (apt-get install gh)")
    agent = _residence(world).agent
    more = {
        "GH_CONFIG_DIR": str(agent.machine.gh_config),
        "GH_HOST": world.forge.host,
        "GH_NO_UPDATE_NOTIFIER": "1",
    }
    asked = ("api", f"repos/{REPOSITORY}", "--jq", ".full_name")
    world.timeline.event("agent", f"gh {' '.join(asked)}")
    result = agent.run(gh, *asked, more=more)
    expect(result.is_ok, "gh failed", result)
    expect(result.stdout.strip() == REPOSITORY, f"gh said {result.stdout}")
    world.timeline.event("forge", f"200: tells gh about {REPOSITORY}")
    return ""


def search_for_secrets(world: World) -> str:
    """Have the agent read whatever it can, and search that for every secret."""
    residence = _residence(world)
    agent, sidecar = residence.agent, residence.sidecar
    needles = needles_for(world.secrets)
    read = agent.run("/bin/sh", "-c", _READ_ALL, "sh", str(world.root)).stdout
    texts = [text for each in agent.results for text in (*each.arguments, each.stdout, each.stderr)]
    # The search must be able to find what the agent can read.
    expect(f"cache --socket={sidecar.socket}" in read, "the agent could not read its own files")
    expect("GIT_TERMINAL_PROMPT=0" in read, "the agent could not read its own environment")
    for directory in (sidecar.directory, agent.home, agent.work, agent.machine.gh_config.parent):
        found = find_in_files(directory, needles)
        expect(not found, f"found in {', '.join(map(str, found))}")
    if agent.uid is None:
        # The other agents' files are this one's own here: what is the sidecar's is not.
        needles = needles_for([sidecar.secret])
        if os.geteuid() == 0:
            raise LeftOutError("to root every process is open: an agent must have a uid of its own")
    expect(not find_in_texts([read, *texts], needles), "the agent can read a secret")
    expect(_is_closed(residence), "the agent can look into the sidecar")
    if agent.uid is None:
        return "it is the sidecar's own user here, and the kernel keeps it out of that process"
    return (
        f"uid {agent.uid} read {len(read)} characters, of /proc too, and no secret was among them"
    )


def _is_closed(residence: Residence) -> bool:
    looked = residence.agent.run("/bin/sh", "-c", _LOOK_INTO, "sh", str(residence.sidecar.pid))
    return not looked.is_ok and not looked.stdout


def _residence(world: World) -> Residence:
    expect(world.residence is not None, "there is no sidecar")
    assert world.residence is not None  # noqa: S101 - as was just found
    return world.residence


def _hits(agent: ResidentAgent) -> int:
    [workspace] = agent.status()["workspaces"]
    return sum(key["hits"] for key in workspace["keys"])


def _who(residence: Residence) -> str:
    if residence.agent.uid is None:
        return "agent and sidecar are the same user here: there is no right to make them two"
    return f"the agent is uid {residence.agent.uid}, the sidecar another; it started no Python"


STEPS = (
    Step(
        "An agent without a secret clones and pushes",
        "git's own C client asked the sidecar; the push was answered from its memory",
        clone_and_push,
        chapter="Sidecar: a resident relay beside the agent has the secret, and git asks it",
    ),
    Step(
        "Wait until the token has expired, push again",
        "the sidecar had a new token; nobody noticed",
        push_after_expiry,
    ),
    Step(
        "The forge revokes the token behind everyone's back",
        "the dead token was replaced, and the broker has on record which one it was",
        push_after_revocation,
    ),
    Step(
        "The broker is down",
        "the push worked from the sidecar's memory while the token lives",
        push_without_broker,
    ),
    Step(
        "The sidecar is killed, and started again",
        "git said why it had no token; nothing was lost but the tokens in memory",
        push_after_a_crash,
    ),
    Step(
        "Another user asks the sidecar",
        "refused by the kernel's word on who asks, and the broker was not asked",
        refuse_a_stranger,
    ),
    Step(
        "gh asks the forge's API",
        "the sidecar put the token into the request; gh itself has a placeholder",
        ask_the_api,
    ),
    Step(
        "What the agent can read",
        "the secret is in no file, environment or process that it can read; no token is at rest",
        search_for_secrets,
    ),
)
