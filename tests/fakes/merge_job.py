"""The container's control server, as far as a merge queue sees it: POST /git/merge.

The answer is 202; the job runs in a thread, and its result is posted to the `callbackUrl`. What
is dispatched names a repository and two branches. Nothing in it is a credential, an instance's
address or the kind of a forge.
"""

from __future__ import annotations

import json
import threading
import urllib.request
from functools import partial
from types import TracebackType
from typing import Any, Self

from git_credential_relay.demo.agent import Agent
from git_credential_relay.demo.loopback import LoopbackHandler, LoopbackServer
from git_credential_relay.demo.merge import MergeResult, merge_branch

NEEDED = ("rigId", "branch", "targetBranch", "gitUrl", "entryId", "callbackUrl")


class MergeControl:
    """Runs the merges that are dispatched, in the environment of one agent."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._jobs: list[threading.Thread] = []
        self._server = LoopbackServer(partial(_Handler, self))
        self._server.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for job in self._jobs:
            job.join()
        self._server.stop()

    @property
    def url(self) -> str:
        """Where merges are dispatched to."""
        return f"http://127.0.0.1:{self._server.port}/git/merge"

    def start(self, order: dict[str, Any]) -> None:
        """Begin one job."""
        job = threading.Thread(target=self._run, args=(order,))
        self._jobs.append(job)
        job.start()

    def _run(self, order: dict[str, Any]) -> None:
        result = self._merge(order)
        body = {
            "entry_id": order["entryId"],
            "status": result.status,
            "message": result.message,
            "commit_sha": result.commit,
        }
        post(order["callbackUrl"], body).close()

    def _merge(self, order: dict[str, Any]) -> MergeResult:
        clone = self._agent.work / order["rigId"]
        if not clone.exists():
            cloned = self._agent.git("clone", "--quiet", order["gitUrl"], clone.name)
            if not cloned.is_ok:
                return MergeResult("failed", cloned.stderr.strip())
        return merge_branch(self._agent, clone.name, order["branch"], order["targetBranch"])


class _Handler(LoopbackHandler):
    def __init__(self, control: MergeControl, *connection: Any) -> None:
        self._control = control
        super().__init__(*connection)

    def do_POST(self) -> None:
        """Accept a merge."""
        order = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        is_good = self.path == "/git/merge" and set(order) == set(NEEDED)
        if is_good:
            self._control.start(order)
        answer = {"status": "accepted", "message": "Merge started"}
        content = json.dumps(answer if is_good else {"error": "Invalid request body"}).encode()
        self.send_response(202 if is_good else 400)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def post(url: str, body: dict[str, Any]) -> Any:
    """Send JSON; the open response. Raises OSError for anything but success."""
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    return urllib.request.urlopen(request, timeout=30)
