"""docs/broker.md says what the broker does: codes, audit fields, configuration."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import msgspec

from git_credential_relay.broker.audit.event import AuditEvent
from git_credential_relay.broker.config import model

ROOT = Path(__file__).parent.parent
DOCUMENT = (ROOT / "docs" / "broker.md").read_text()
EVERYTHING = (ROOT / "deploy" / "examples" / "everything.toml").read_text()
CODE = re.compile(r"[A-Z]+(?:_[A-Z]+)+|INTERNAL|OVERLOADED|TIMEOUT")


def codes_in_source():
    """Every code the broker can answer with."""
    codes = set()
    for path in (ROOT / "git_credential_relay" / "broker").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            value = None
            if (isinstance(node, ast.keyword) and node.arg == "code") or (
                isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "code"
            ):
                value = node.value
            elif isinstance(node, ast.Constant) and str(node.value).startswith("FORGE_"):
                value = node
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                codes.add(value.value)
    return {code for code in codes if CODE.fullmatch(code)} | {
        "USE_NOT_GRANTED",
        "HOST_NOT_SERVED",
    }


def test_every_code_is_documented_and_every_documented_one_exists():
    """The table of codes names what the broker can answer, and nothing else."""
    documented = set(re.findall(r"^\| `([A-Z_]+)` \|", DOCUMENT, re.MULTILINE))

    assert documented == codes_in_source()


def test_every_field_of_the_audit_is_documented():
    """The audit's table has each field of an event."""
    section = DOCUMENT.split("## The audit log")[1].split("## ")[0]

    assert {f.name for f in msgspec.structs.fields(AuditEvent)} <= set(
        re.findall(r"`([a-z_0-9]+)`", section)
    )


def test_every_key_of_the_configuration_is_in_the_example_of_everything():
    """everything.toml shows each key there is, set or commented out."""
    keys = {
        field.name
        for struct in vars(model).values()
        if isinstance(struct, type) and issubclass(struct, msgspec.Struct)
        for field in msgspec.structs.fields(struct)
    }
    shown = set(
        re.findall(r"^\s*#?\s*(?:\[+(?:\w+\.)*)?(\w+)(?:\]+| *=)", EVERYTHING, re.MULTILINE)
    )

    assert keys - shown == set()
