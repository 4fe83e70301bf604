"""The compose file: valid, locked down, and in agreement with the image and its configuration."""

from __future__ import annotations

import re
import tomllib
from copy import deepcopy

import jsonschema
import pytest

from git_credential_relay.broker.config.model import BrokerModel, LimitsModel
from git_credential_relay.settings import SETTINGS
from tests.deploy.compose_schema import COMPOSE_FILE
from tests.deploy.files import COMPOSE, DEPLOY, DOCKERFILE, DOCUMENT, broker_stage

SERVICES = COMPOSE["services"]
CONFIGURATION = (DEPLOY / "compose.toml").read_text()
PORT = BrokerModel().listen.rpartition(":")[2]


def test_compose_file_is_valid():
    """It has the form of the Compose Specification."""
    jsonschema.Draft202012Validator.check_schema(COMPOSE_FILE)
    jsonschema.validate(COMPOSE, COMPOSE_FILE)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("imgae", "x"),
        ("environment", {"PORT": 8750}),
        ("stop_grace_period", 30),
        ("healthcheck", {"test": ["pg_isready"]}),
        ("depends_on", {"postgresql": {"condition": "healthy"}}),
        ("security_opt", "no-new-privileges:true"),
    ],
)
def test_a_wrong_compose_file_is_refused(key, value):
    """The schema sees unknown keys, values of another type and words that mean nothing."""
    wrong = deepcopy(COMPOSE)
    wrong["services"]["broker"][key] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, COMPOSE_FILE)


def test_names_lead_somewhere():
    """Every network, volume, secret, configuration and service that is used is there, and every
    one that is there is used."""
    used: dict[str, set[str]] = {"networks": set(), "volumes": set(), "secrets": set()}
    for service in SERVICES.values():
        for kind, names in used.items():
            names |= {each.partition(":")[0] for each in service.get(kind, [])}
        assert service.get("depends_on", {}).keys() <= SERVICES.keys()

    assert used == {kind: set(COMPOSE[kind]) for kind in used}
    assert [each["source"] for each in SERVICES["broker"]["configs"]] == list(COMPOSE["configs"])
    for name in COMPOSE["configs"].values():
        assert (DEPLOY / name["file"]).is_file()


def test_secrets_are_kept_out_of_the_repository():
    """Each secret is a file in a directory that git ignores."""
    files = [each["file"] for each in COMPOSE["secrets"].values()]
    files.append(SERVICES["broker"]["env_file"])

    assert all(file.startswith("secrets/") for file in files)
    assert "secrets/\n" in (DEPLOY / ".gitignore").read_text().splitlines(keepends=True)


def test_the_broker_has_what_its_configuration_names():
    """Each file of the configuration is one of the service's secrets or in its volume."""
    paths = re.findall(r'^\w+_file = "(.*)"', CONFIGURATION, re.MULTILINE)
    secrets = {path for path in paths if path.startswith("/run/secrets/")}
    [volume] = SERVICES["broker"]["volumes"]
    state = volume.partition(":")[2]

    assert secrets == {f"/run/secrets/{name}" for name in SERVICES["broker"]["secrets"]}
    assert all(path.startswith(f"{state}/") for path in paths if path not in secrets)
    assert f"VOLUME {state}\n" in broker_stage()
    [config] = SERVICES["broker"]["configs"]
    assert f'"--config", "{config["target"]}"' in broker_stage()


def test_images_are_those_of_the_dockerfile():
    """Names and targets are those that the document builds."""
    for name in ("broker", "agent"):
        service = SERVICES[name]
        assert service["build"] == {"context": "..", "target": name}
        assert f" AS {name}\n" in DOCKERFILE
        assert f"docker build --target {name} --tag {service['image']} .\n" in DOCUMENT


def test_an_agent_finds_the_broker_and_nothing_else():
    """The agent asks the broker's port, as a workspace there is, and shares no network with the
    database and the cache, which no other machine can reach either."""
    agent, broker = SERVICES["agent"], SERVICES["broker"]
    environ = agent["environment"]
    [workspace] = tomllib.loads(CONFIGURATION)["workspace"]

    assert environ.keys() <= {name for setting in SETTINGS for name in setting.names}
    assert environ["CLOUD_API_URL"] == f"http://broker:{PORT}"
    assert environ["WORKSPACE_ID"] == workspace["id"]
    assert environ["WORKSPACE_TOKEN_FILE"] == workspace["secret_file"]
    assert agent["secrets"] == [environ["WORKSPACE_TOKEN_FILE"].rpartition("/")[2]]
    assert set(agent["networks"]) & set(broker["networks"])
    for name in ("postgresql", "valkey"):
        assert not set(agent["networks"]) & set(SERVICES[name]["networks"])
        assert all(COMPOSE["networks"][each]["internal"] for each in SERVICES[name]["networks"])
    assert not any("ports" in service for service in SERVICES.values())


def test_the_broker_waits_for_what_it_needs_and_drains():
    """Database and cache are healthy first; the engine does not kill a broker that still answers;
    the health check is the image's own."""
    broker = SERVICES["broker"]

    assert broker["depends_on"] == {
        name: {"condition": "service_healthy"} for name in ("postgresql", "valkey")
    }
    assert all("test" in SERVICES[name]["healthcheck"] for name in ("postgresql", "valkey"))
    assert int(broker["stop_grace_period"].removesuffix("s")) > LimitsModel().drain_seconds
    assert "drain_seconds" not in CONFIGURATION
    assert "test" not in broker["healthcheck"]
    assert "HEALTHCHECK" in broker_stage()


def test_services_may_do_no_more_than_they_need():
    """Broker and cache cannot write to their images and have no capability; no service that we
    do not need root in gains privileges."""
    for name in ("broker", "valkey"):
        assert SERVICES[name]["read_only"] is True
        assert SERVICES[name]["cap_drop"] == ["ALL"]
    for name in ("broker", "valkey", "postgresql"):
        assert SERVICES[name]["security_opt"] == ["no-new-privileges:true"]
    assert SERVICES["agent"]["user"] == "0"
    assert "user" not in SERVICES["broker"]
