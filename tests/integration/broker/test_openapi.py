"""The OpenAPI document says what the running broker does."""

from __future__ import annotations

import hashlib
import json

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS
from schemathesis.core.result import Ok

from git_credential_relay.broker.server.openapi import document
from tests.fakes.broker import BrokerProcess
from tests.fakes.broker_files import ONE, write_config

ADMIN = "the-secret-of-the-administrator"
SETTINGS = f"""
[admin]
secret_sha256 = "{hashlib.sha256(ADMIN.encode()).hexdigest()}"
[limits]
address_requests_per_minute = 1000000
workspace_requests_per_minute = 1000000
"""
EXAMPLES = 8
OPERATIONS = [
    "getToken", "postToken", "listWorkspaces", "createWorkspace", "showWorkspace",
    "changeWorkspace", "deleteWorkspace", "rotateSecret", "health", "readiness", "metrics",
]  # fmt: skip
WITHOUT_INPUT = ("health", "readiness", "metrics")  # so none of it can be wrong
RIGHT, WRONG = GenerationMode.POSITIVE, GenerationMode.NEGATIVE
TRIES = [
    *((name, RIGHT, is_known) for name in OPERATIONS for is_known in (True, False)),
    *((name, WRONG, True) for name in OPERATIONS if name not in WITHOUT_INPUT),
]


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    """A broker with one static token, one workspace and an administrator."""
    directory = tmp_path_factory.mktemp("broker")
    write_config(directory, ONE + SETTINGS)
    with BrokerProcess(directory, STATIC_TOKEN="a-token-that-a-person-made") as broker:
        yield broker


@pytest.fixture(scope="module")
def operations(broker):
    """The operations of the served document, by name."""
    schema = schemathesis.openapi.from_url(f"{broker.url}/openapi.json")
    found = [result.ok() for result in schema.get_all_operations() if isinstance(result, Ok)]
    return {operation.definition.raw["operationId"]: operation for operation in found}


def test_every_operation_is_tried(operations):
    """The table above has them all, but for the document itself, which the tool leaves out."""
    assert list(operations) == OPERATIONS


@pytest.mark.parametrize(("name", "mode", "is_known"), TRIES)
def test_answers_are_as_described(operations, name, mode, is_known):
    """Whatever is sent, right or wrong, by somebody known or not: the status is one that the
    document names, the body has its form, and nothing fails inside."""
    operation = operations[name]
    bearer = ADMIN if "workspaces" in operation.path else "secret-of-w1"
    headers = {"Authorization": f"Bearer {bearer}" if is_known else "Bearer nobody"}

    @given(operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=EXAMPLES,
        phases=[Phase.explicit, Phase.generate],
        deadline=None,
        database=None,
        derandomize=True,
        verbosity=Verbosity.quiet,
        suppress_health_check=list(HealthCheck),
    )
    def run(case):
        case.call_and_validate(headers=headers, checks=chosen)

    names = ["not_a_server_error", "status_code_conformance", "content_type_conformance",
             "response_headers_conformance", "response_schema_conformance"]  # fmt: skip
    chosen = [CHECKS.get_one(check) for check in names]
    run()


def test_the_document_is_the_one_that_is_served(broker):
    """/openapi.json needs no proof of who asks."""
    assert json.loads(document()) == broker.request("GET", "/openapi.json").json
