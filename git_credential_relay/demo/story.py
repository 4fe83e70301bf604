"""Tells the demo's story: runs every step and writes the timeline."""

import os
import subprocess
from collections.abc import Sequence
from typing import TextIO

from git_credential_relay.demo import resident_steps, steps
from git_credential_relay.demo.acts import BrokenPromiseError, LeftOutError
from git_credential_relay.demo.backend import GitMissingError
from git_credential_relay.demo.server import ServerStartError
from git_credential_relay.demo.shell import CommandTimeoutError
from git_credential_relay.demo.step import Step
from git_credential_relay.demo.timeline import Timeline, style_for
from git_credential_relay.demo.world import World, build_world

_BROKEN = (
    BrokenPromiseError,
    CommandTimeoutError,
    ServerStartError,
    subprocess.CalledProcessError,
)
STEPS = (*steps.STEPS, *resident_steps.STEPS)


def run(out: TextIO, steps: Sequence[Step] = STEPS) -> bool:
    """Run the demo and return whether every step was as promised, or could not be shown here.

    Everything it starts and writes is gone afterwards, also after an interrupt.
    """
    timeline = Timeline(out, style_for(out, os.environ))
    try:
        with build_world(timeline) as world:
            _introduce(world)
            told = [_tell(world, number, step) for number, step in enumerate(steps, 1)]
            left_out = told.count(None)
            kept, total = told.count(True), len(told) - left_out
            timeline.summary(kept, total, _count_tokens(world), left_out)
    except (GitMissingError, ServerStartError) as exc:
        timeline.line(str(exc))
        return False
    return kept == total


def _introduce(world: World) -> None:
    version = subprocess.run(
        [world.git, "version"], capture_output=True, text=True, check=True
    ).stdout.strip()
    world.timeline.line(
        f"An agent with {version}, an empty environment and no token.\n"
        f"A GitHub at {world.forge.url}, a GitLab at {world.lab.url}, and the broker "
        f"at {world.broker.url};\n"
        f"tokens live {world.pace.token_seconds} s and are shown as #hash."
    )


def _count_tokens(world: World) -> int:
    return len(world.forge.tokens.issued) + len(world.lab.tokens.issued)


def _tell(world: World, number: int, step: Step) -> bool | None:
    """Whether the promise was kept; None where it could not be shown."""
    if step.chapter:
        world.timeline.chapter(step.chapter)
    world.timeline.step(number, step.title)
    try:
        remark = step.act(world)
    except LeftOutError as exc:
        world.timeline.left_out(str(exc))
        return None
    except _BROKEN as exc:
        world.timeline.verdict(False, f"{step.promise}\nbut {_redact(world, str(exc))}")
        return False
    world.timeline.verdict(True, f"{step.promise}\n{remark}".rstrip())
    return True


def _redact(world: World, text: str) -> str:
    """Return the text without any secret: a broken promise may be about a leaked one."""
    for secret in world.secrets:
        text = text.replace(secret, "[secret]")
    return text
