"""Reading what an operator deploys with: the files in deploy/ and the commands of its document."""

from __future__ import annotations

import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
DOCUMENT = (ROOT / "docs" / "deploy.md").read_text()
DOCKERFILE = (ROOT / "Dockerfile").read_text()
EXAMPLES = sorted((DEPLOY / "examples").glob("*.toml"))
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
_OBJECTS = [each for path in MANIFESTS for each in yaml.safe_load_all(path.read_text())]
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())

Object = dict[str, Any]


def read_objects() -> list[Object]:
    """Every Kubernetes object there is, for the caller to change."""
    return deepcopy(_OBJECTS)


def named(kind: str, name: str) -> Object:
    """The one object of this kind and name."""
    [found] = [o for o in read_objects() if (o["kind"], o["metadata"]["name"]) == (kind, name)]
    return found


def pods() -> list[tuple[str, Object, Object]]:
    """Name, metadata and specification of every pod, with its namespace."""
    found = []
    for each in read_objects():
        name, namespace = each["metadata"]["name"], each["metadata"].get("namespace")
        if each["kind"] == "Pod":
            found.append((name, each["metadata"], each["spec"]))
        elif "template" in each.get("spec", {}):
            template = each["spec"]["template"]
            found.append((name, {"namespace": namespace, **template["metadata"]}, template["spec"]))
    return found


def blocks(language: str, heading: str) -> list[str]:
    """The code blocks in a section of the document."""
    section = re.split(r"^## ", DOCUMENT.split(f"\n## {heading}\n")[1], flags=re.MULTILINE)[0]
    return re.findall(rf"^```{language}\n(.*?)^```", section, re.MULTILINE | re.DOTALL)


def broker_stage() -> str:
    """The lines of the Dockerfile's target `broker`."""
    return DOCKERFILE.split(" AS broker\n")[1].split("\nFROM ")[0]
