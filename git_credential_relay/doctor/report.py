"""What a check has found, and how it is told to people and to programs: pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace

from git_credential_relay.secret import Secret, printable, redact

OK, WARN, FAIL, SKIP = "ok", "warn", "fail", "skip"
# What is wrong comes first, the worst of it before the rest.
_ORDER = (FAIL, WARN, OK, SKIP)
LONGEST_MESSAGE = 600


@dataclass(frozen=True, slots=True)
class Check:
    """One finding: `status` is ok, warn, fail or skip, `code` stable, `message` one line.

    `fix` is the exact command that mends it, for a shell, or None where there is none.
    """

    name: str
    status: str
    code: str
    message: str
    fix: str | None = None

    def safe(self, secrets: Iterable[Secret]) -> Check:
        """The same without secrets and without characters that steer a terminal.

        A command that would have to change for that is no longer the exact one, and is left out.
        """
        secrets = list(secrets)
        fix = self.fix if self.fix and clean(self.fix, secrets) == self.fix else None
        return replace(
            self,
            code=clean(self.code, secrets),
            message=printable(clean(self.message, secrets), LONGEST_MESSAGE),
            fix=fix,
        )


def ok(name: str, message: str) -> Check:
    """All is well with what `name` looks at."""
    return Check(name, OK, OK, message)


def warn(name: str, code: str, message: str, fix: str | None = None) -> Check:
    """Something that works, and may stop working or is less safe than it should be."""
    return Check(name, WARN, code, message, fix)


def fail(name: str, code: str, message: str, fix: str | None = None) -> Check:
    """Something that does not work, or lets a secret lie open."""
    return Check(name, FAIL, code, message, fix)


def skip(name: str, code: str, message: str) -> Check:
    """Something that could not be looked at, or does not matter here."""
    return Check(name, SKIP, code, message)


def clean(text: str, secrets: Iterable[Secret] = ()) -> str:
    """`text` without the secrets and tokens in it, as far as it is printable."""
    masked = redact(text, *secrets)
    return "".join(c if c.isprintable() else " " for c in masked)


def is_healthy(checks: Iterable[Check]) -> bool:
    """Whether no check has failed; warnings are allowed."""
    return all(check.status != FAIL for check in checks)


def as_json(checks: list[Check]) -> str:
    """The report for programs."""
    fields = ("name", "status", "code", "message", "fix")
    rows = [{name: getattr(check, name) for name in fields} for check in checks]
    return json.dumps({"ok": is_healthy(checks), "checks": rows})


def as_text(checks: list[Check]) -> str:
    """The report for people: a line for each check, what is wrong first, and what mends it."""
    lines = []
    for check in sorted(checks, key=lambda check: _ORDER.index(check.status)):
        code = "" if check.status == OK else f" [{check.code}]"
        lines.append(f"{check.status:<4}  {check.name}: {check.message}{code}")
        if check.fix:
            lines.append(f"      fix: {check.fix}")
    counts = [(sum(c.status == status for c in checks), status) for status in _ORDER]
    lines.append(", ".join(f"{count} {status}" for count, status in counts if count))
    return "\n".join(lines)
