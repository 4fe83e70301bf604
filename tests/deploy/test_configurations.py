"""The configurations that operators begin with, as the broker itself reads them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from git_credential_relay.broker.config import model
from git_credential_relay.broker.config.load import BrokerConfig, parse_config
from git_credential_relay.broker.identity.issuers import compile_issuers
from git_credential_relay.broker.identity.rules import VerifiedClaims
from git_credential_relay.broker.store.engine import resolve_database_url
from git_credential_relay.errors import ConfigError
from tests.deploy.files import DEPLOY, EXAMPLES, blocks, broker_stage, named, pods

EVERYTHING = DEPLOY / "examples" / "everything.toml"
COMPOSED = (DEPLOY / "compose.toml").read_text()
MANIFEST = named("ConfigMap", "broker")["data"]["broker.toml"]
STATE = "/var/lib/git-credential-relay/"


def secret_references(text: str) -> set[str]:
    """What the keys that name a file of a secret say; the audit is no secret."""
    found = re.findall(r'^(\w+_file) = (".*?"|\[.*?\])', text, re.MULTILINE)
    return {
        reference
        for name, value in found
        if name != "audit_file"
        for reference in re.findall(r'"(.*?)"', value)
    }


def configuration(directory: Path, text: str) -> BrokerConfig:
    """The configuration, in a directory where every file that it names holds a secret."""
    for path in re.findall(r'"/run/secrets/(.*?)"', text):
        (directory / path).write_text("a secret of 32 characters or so\n")
    text = text.replace('"/run/secrets/', '"')
    for reference in secret_references(text):
        if not reference.startswith(("env:", "/")):
            (directory / reference).parent.mkdir(exist_ok=True)
            (directory / reference).write_text("a secret of 32 characters or so\n")
    return parse_config(directory / "broker.toml", text)


@pytest.mark.parametrize(
    "text",
    [
        *(pytest.param(path.read_text(), id=path.name) for path in EXAMPLES),
        pytest.param(COMPOSED, id="compose"),
        pytest.param(MANIFEST, id="kubernetes"),
    ],
)
def test_configuration_is_accepted(tmp_path, text):
    """The broker takes each of them as it stands, once its secrets are there."""
    config = configuration(tmp_path, text)

    assert config.forges
    assert [workspace.id for workspace in config.workspaces.values()] == ["w1"]
    assert config.workspaces["w1"].policy.grants
    assert config.model.admin is not None
    compile_issuers(config.model.issuer, config.resolve)


@pytest.mark.parametrize("text", [COMPOSED, MANIFEST], ids=["compose", "kubernetes"])
def test_addresses_with_passwords_come_from_the_environment(tmp_path, monkeypatch, text):
    """Database and cache are those that the variables name, of which the file holds nothing."""
    config = configuration(tmp_path, text)
    for name, url in (("DATABASE_URL", "postgresql://u:p@h/d"), ("CACHE_URL", "redis://:p@h:6379")):
        monkeypatch.setenv(name, url)

    assert resolve_database_url(config) == "postgresql+psycopg://u:p@h/d"
    assert config.read_url(config.model.cache_url or "") == "redis://:p@h:6379"
    monkeypatch.delenv("DATABASE_URL")
    with pytest.raises(ConfigError, match="DATABASE_URL"):
        resolve_database_url(config)


def test_a_workspace_without_its_secret_is_noticed(tmp_path):
    """These checks do read the secrets: one that is missing is an error that names the file."""
    text = (DEPLOY / "examples" / "github.toml").read_text()
    with pytest.raises(Exception, match=r"secrets/w1\.secret"):
        parse_config(tmp_path / "broker.toml", text)


@pytest.mark.parametrize("kind", ["github", "gitlab", "forgejo"])
def test_an_example_works_in_the_image(kind):
    """What the examples keep is where the image has its volume, the only place it can write to."""
    path = DEPLOY / "examples" / f"{kind}.toml"
    document = tomllib.loads(path.read_text())

    assert document["database"].startswith(f"sqlite:///{STATE}")
    assert document["audit_file"].startswith(STATE)
    assert f"VOLUME {STATE[:-1]}\n" in broker_stage()


def tables(text: str) -> Iterator[tuple[str, set[str]]]:
    """Name and keys of each table in a TOML text; a key that is commented out counts."""
    name, keys = "", set[str]()
    for line in text.splitlines():
        if header := re.match(r"\[\[?([\w.]+)\]", line):
            yield name, keys
            name, keys = header[1], set()
        elif key := re.match(r"(?:# )?(\w+) = (\S+)", line):
            keys.add(key[1])
            if key[1] == "kind":
                name = key[2].strip('"')
    yield name, keys


def test_everything_names_every_key():
    """everything.toml has each key of each table, and shows no other."""
    shown: dict[str, set[str]] = {}
    for name, keys in tables(EVERYTHING.read_text()):
        shown.setdefault(name, set()).update(keys)
    kinds = {each.__struct_config__.tag: each for each in get_args(model.ForgeModel)}
    expected = {
        "": model.BrokerModel,
        "admin": model.AdminModel,
        "admin.identity": model.IdentityModel,
        "limits": model.LimitsModel,
        "issuer": model.IssuerModel,
        "forge.oauth": model.OAuthModel,
        "workspace": model.WorkspaceModel,
        "workspace.identity": model.IdentityModel,
        "workspace.grant": model.GrantModel,
        **kinds,
    }

    assert set(kinds) == {"github", "gitlab", "forgejo", "static"}
    assert shown.keys() == expected.keys()
    for name, struct in expected.items():
        fields = {field.name for field in msgspec.structs.fields(struct)}
        inner = {each for each in fields if f"{name}.{each}".strip(".") in expected}
        wanted = fields - inner - {"forge", "oauth"} | ({"kind"} if name in kinds else set())
        assert shown[name] == wanted, f"[{name}]"


def test_everything_shows_the_defaults():
    """A plain value in everything.toml that says nothing else is the default."""
    text = EVERYTHING.read_text()
    checked = 0
    for struct, where in ((model.BrokerModel, text.split("\n[")[0]), (model.LimitsModel, text)):
        defaults = {f.name: f.default for f in msgspec.structs.fields(struct)}
        if struct is model.LimitsModel:
            where = text.split("\n[limits]\n")[1].split("\n[")[0]
        for line in where.splitlines():
            if " default" in line or not re.match(r"\w+ = ", line):
                continue
            [(name, value)] = tomllib.loads(line).items()
            assert value == defaults[name], line
            checked += 1

    assert checked >= 10


def test_an_agents_token_speaks_for_its_workspace(tmp_path):
    """The token that the example of a pod gets matches issuer, audience and rule of a workspace."""
    config = configuration(tmp_path, MANIFEST)
    [(name, metadata, pod)] = [each for each in pods() if each[1].get("namespace") == "agents"]
    [source] = [
        part["serviceAccountToken"]
        for volume in pod["volumes"]
        for part in volume.get("projected", {}).get("sources", [])
    ]
    [issuer] = config.model.issuer
    environ = {each["name"]: each["value"] for each in pod["containers"][0]["env"]}
    subject = f"system:serviceaccount:{metadata['namespace']}:{pod['serviceAccountName']}"
    claims = {
        "iss": issuer.url,
        "sub": subject,
        "kubernetes.io": {"namespace": metadata["namespace"], "pod": {"name": name}},
    }
    [rule] = config.workspaces[environ["WORKSPACE_ID"]].identities

    assert source["audience"] == issuer.audience
    assert source["expirationSeconds"] >= 600
    assert rule.matches(VerifiedClaims(claims))
    assert not rule.matches(VerifiedClaims({**claims, "sub": f"{subject}x"}))


def test_room_for_the_audit(tmp_path):
    """The pod's volume holds more than the audit may take, or the pod would be evicted."""
    config = configuration(tmp_path, MANIFEST).model
    [limit] = [
        volume["emptyDir"]["sizeLimit"]
        for name, _, pod in pods()
        for volume in pod["volumes"]
        if (name, volume["name"]) == ("broker", "state")
    ]

    assert config.audit_max_bytes * (config.audit_keep + 1) < int(limit.removesuffix("Mi")) << 20
    assert "stdout" in config.audit_sinks


@pytest.mark.parametrize("language", ["sh", "ini"])
def test_document_names_the_default_configuration(language):
    """Commands and unit in the document read the file that the image reads."""
    texts = blocks(language, "One process")

    assert any("--config /etc/git-credential-relay/broker.toml" in text for text in texts)
    assert '"--config", "/etc/git-credential-relay/broker.toml"' in broker_stage()
