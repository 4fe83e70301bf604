"""A fake forge that fails when told to, and a record of what it was asked.

    faults = ForgeFaults(github, CONTRACT)
    forge = PlaygroundForge(api=faults)
    faults.inject("POST", "/app/.*", status=502, times=2)
    faults.inject("GET", "/repos/.*", drops="after")

Requests are checked against the contract whatever becomes of them, answers where they are the
fake's own.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from git_credential_relay.demo.forge import ApiAnswer, ApiRequest, ConnectionDroppedError
from tests.fakes.forge_schemas.contract import Contract

Api = Callable[[ApiRequest], ApiAnswer | None]
ANY_METHOD = ""


@dataclass
class _Fault:
    method: str
    path: re.Pattern[str]
    answer: ApiAnswer | None
    delay_seconds: float
    drops: str | None
    changes: Callable[[ApiAnswer], ApiAnswer] | None
    left: int | None  # None: for ever
    skips: int

    def takes(self, request: ApiRequest) -> bool:
        if self.left == 0 or self.method not in (ANY_METHOD, request.method):
            return False
        if not self.path.fullmatch(request.path):
            return False
        if self.skips:
            self.skips -= 1
            return False
        if self.left is not None:
            self.left -= 1
        return True


@dataclass
class ForgeFaults:
    """Stands between a PlaygroundForge and its api; safe to use from many threads."""

    api: Api
    contract: Contract | None = None
    requests: list[ApiRequest] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    _faults: list[_Fault] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _released: threading.Event = field(default_factory=threading.Event)

    def inject(
        self,
        method: str = ANY_METHOD,
        path: str = ".*",
        *,
        status: int | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        content_type: str = "application/json; charset=utf-8",
        delay_seconds: float = 0.0,
        drops: str | None = None,
        changes: Callable[[ApiAnswer], ApiAnswer] | None = None,
        times: int | None = 1,
        skips: int = 0,
    ) -> None:
        """Fail the next `times` requests (None: all) of this method whose path matches whole.

        `status` answers instead of the forge. `drops` breaks the connection `"before"` the forge
        sees the request or `"after"` it has acted. `delay_seconds` holds the answer back, until
        `release`. `changes` makes another answer of the forge's own. The first `skips` matching
        requests are let through.
        """
        assert drops in (None, "before", "after")
        answer = None if status is None else ApiAnswer(status, body, headers or {}, content_type)
        fault = _Fault(
            method, re.compile(path), answer, delay_seconds, drops, changes, times, skips
        )
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        """Forget all faults that are left."""
        with self._lock:
            self._faults.clear()

    def release(self) -> None:
        """End all delays, of now and later."""
        self._released.set()

    def count(self, method: str = ANY_METHOD, path: str = ".*") -> int:
        """How many requests of this kind came in."""
        with self._lock:
            return sum(
                method in (ANY_METHOD, request.method)
                and re.fullmatch(path, request.path) is not None
                for request in self.requests
            )

    def __call__(self, request: ApiRequest) -> ApiAnswer | None:
        """Answer as the forge would, unless a fault is meant for this request."""
        fault = self._receive(request)
        if fault is None:
            return self._ask(request)
        if fault.drops == "before":
            raise ConnectionDroppedError
        answer = fault.answer or self._ask(request)
        if fault.delay_seconds:
            self._released.wait(fault.delay_seconds)
        if fault.drops == "after":
            raise ConnectionDroppedError
        return fault.changes(answer) if fault.changes and answer else answer

    def _receive(self, request: ApiRequest) -> _Fault | None:
        broken = self.contract.broken_by_request(request) if self.contract else []
        with self._lock:
            self.requests.append(request)
            self.violations += broken
            return next((fault for fault in self._faults if fault.takes(request)), None)

    def _ask(self, request: ApiRequest) -> ApiAnswer | None:
        answer = self.api(request)
        if self.contract and answer is not None:
            broken = self.contract.broken_by_answer(request, answer)
            with self._lock:
                self.violations += broken
        return answer
