"""docs/doctor.md says what doctor can find, all of it and nothing else."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
DOCUMENT = (ROOT / "docs" / "doctor.md").read_text()
PACKAGE = ROOT / "git_credential_relay" / "doctor"
STATUSES = ("warn", "fail", "skip")


def findings_in_source() -> set[tuple[str, str, str]]:
    """Check, code and status of every finding whose code stands in the source."""
    trees = {p.stem: ast.parse(p.read_text()) for p in PACKAGE.rglob("*.py")}
    names = {stem: constants(tree) for stem, tree in trees.items()}
    found = set()
    for stem, tree in trees.items():
        for call in ast.walk(tree):
            if not isinstance(call, ast.Call) or ast.unparse(call.func) not in STATUSES:
                continue
            name, code = call.args[:2]
            if isinstance(code, ast.Constant):
                module, _, variable = ast.unparse(name).rpartition(".")
                check = names[module or stem].get(variable)
                if check is not None:
                    found.add((check, str(code.value), ast.unparse(call.func)))
    return found


def constants(tree: ast.Module) -> dict[str, str]:
    """The names of texts in a module."""
    return {
        ast.unparse(node.targets[0]): node.value.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    }


def documented() -> set[tuple[str, str, str]]:
    """The same, from the table in the document."""
    rows = re.findall(r"^\| `([a-z-]+)` \| `([a-z-]+)` \| (\w+) \|", DOCUMENT, re.MULTILINE)
    return set(rows)


def test_every_finding_is_documented_and_every_documented_one_exists():
    """The table has each check's codes with their status, and no other."""
    assert documented() == {f for f in findings_in_source() if f[2] != "skip"}


def test_every_check_is_described():
    """Each check there is has its line in the list of checks, skipped ones included."""
    described = set(re.findall(r"^- `([a-z-]+)`: ", DOCUMENT, re.MULTILINE))

    assert described >= {check for check, _, _ in findings_in_source()}
