"""The part of the Compose Specification that compose.yaml uses, as a JSON schema.

Written from the specification's text. It knows no other key, so a new one has to be added here.
Interpolation is not part of it: no value holds a variable.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

NAME = {"type": "string", "pattern": "^[a-zA-Z0-9._-]+$"}
TEXT = {"type": "string", "minLength": 1}
# Compose takes a number of seconds for none of them.
DURATION = {"type": "string", "pattern": "^([0-9]+(ms|s|m|h))+$"}
NAMES = {"type": "array", "items": NAME, "uniqueItems": True}
TEXTS = {"type": "array", "items": TEXT, "uniqueItems": True}
COMMAND = {"type": "array", "items": TEXT, "minItems": 1}


def table(required: tuple[str, ...] = (), **properties: Schema) -> Schema:
    """A mapping with these keys and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def named(value: Schema) -> Schema:
    """A mapping of names to values."""
    return {"type": "object", "patternProperties": {NAME["pattern"]: value}} | {
        "additionalProperties": False
    }


# Without `test` the image's own is run, at these times.
HEALTHCHECK = table(
    test={
        "type": "array",
        "prefixItems": [{"enum": ["CMD", "CMD-SHELL"]}],
        "items": TEXT,
        "minItems": 2,
    },
    interval=DURATION,
    timeout=DURATION,
    start_period=DURATION,
    retries={"type": "integer", "minimum": 1},
)
CONDITION = {"enum": ["service_started", "service_healthy", "service_completed_successfully"]}
SERVICE = table(
    ("image",),
    image=TEXT,
    build=table(("context",), context=TEXT, target=NAME),
    user={"type": "string", "pattern": "^[0-9]+(:[0-9]+)?$"},
    command=COMMAND,
    init={"type": "boolean"},
    # Values are texts: of a bare number or `yes` YAML would make something else.
    environment={"type": "object", "additionalProperties": {"type": "string"}},
    env_file=TEXT,
    configs={"type": "array", "items": table(("source", "target"), source=NAME, target=TEXT)},
    secrets=NAMES,
    volumes=TEXTS,
    tmpfs=TEXTS,
    networks=NAMES,
    depends_on=named(table(("condition",), condition=CONDITION)),
    healthcheck=HEALTHCHECK,
    stop_grace_period=DURATION,
    restart={"enum": ["no", "always", "on-failure", "unless-stopped"]},
    read_only={"type": "boolean"},
    cap_drop=TEXTS,
    security_opt=TEXTS,
)
FILE = table(("file",), file=TEXT)
COMPOSE_FILE = table(
    ("services",),
    name={"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]*$"},
    services=named(SERVICE),
    networks=named(table(internal={"type": "boolean"})),
    volumes=named(table()),
    configs=named(FILE),
    secrets=named(FILE),
)
