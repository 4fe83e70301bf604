"""A merge job: fetch, merge without fast-forward in a work tree of its own, push.

It knows nothing of credentials: git finds the same relay here as in the agent's own push.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from git_credential_relay.demo.agent import Agent
from git_credential_relay.demo.shell import CommandResult


@dataclass(frozen=True, slots=True)
class MergeResult:
    """`status` is merged, conflict or failed; `commit` what the target is now, if merged."""

    status: str
    message: str
    commit: str | None = None


def merge_branch(agent: Agent, directory: str, branch: str, target: str) -> MergeResult:
    """Merge `branch` of the clone's origin into its `target` and push that."""
    clone = agent.work / directory
    fetched = agent.git("fetch", "--quiet", "origin", cwd=clone)
    if not fetched.is_ok:
        return _failed(fetched)
    with tempfile.TemporaryDirectory(dir=agent.work, prefix="merge-") as temporary:
        tree = Path(temporary) / "tree"
        added = agent.git(
            *("worktree", "add", "--quiet", "--detach", str(tree), f"origin/{target}"), cwd=clone
        )
        if not added.is_ok:
            return _failed(added)
        try:
            return _merge(agent, tree, branch, target)
        finally:
            agent.git("worktree", "remove", "--force", str(tree), cwd=clone)


def _merge(agent: Agent, tree: Path, branch: str, target: str) -> MergeResult:
    message = f"Merge {branch} into {target}"
    merged = agent.git(
        *("merge", "--quiet", "--no-ff", "--message", message, f"origin/{branch}"), cwd=tree
    )
    if not merged.is_ok:
        return MergeResult("conflict", merged.stdout.strip() or merged.stderr.strip())
    pushed = agent.git("push", "--quiet", "origin", f"HEAD:{target}", cwd=tree)
    if not pushed.is_ok:
        return _failed(pushed)
    commit = agent.git("rev-parse", "HEAD", cwd=tree).stdout.strip()
    return MergeResult("merged", message, commit)


def _failed(result: CommandResult) -> MergeResult:
    return MergeResult("failed", result.stderr.strip())
