"""The document for operators: what it tells them to run works, and nothing of it is a secret."""

from __future__ import annotations

import math
import re
import shutil
import ssl
import stat
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from git_credential_relay.broker.store.engine import open_engine
from tests.deploy.files import COMPOSE, DEPLOY, DOCUMENT, ROOT, blocks, named

TOKENS = re.compile(
    r"gh[opsru]_\w{16}|github_pat_|glpat-\w{8}|-----BEGIN|AKIA[0-9A-Z]{12}|eyJ\w{8}"
)


def run(script: str, directory: Path) -> None:
    """Run a block of the document, which has to succeed."""
    done = subprocess.run(
        ["sh", "-eu"], input=script, cwd=directory, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def looks_secret(word: str) -> bool:
    """Whether so long a word is too random to be one."""
    if len(word) < 20:
        return False
    counts = Counter(word).values()
    entropy = -sum(n / len(word) * math.log2(n / len(word)) for n in counts)
    return entropy > 4.2 or bool(re.fullmatch(r"[0-9a-fA-F]{32,}", word))


def secrets_in(text: str) -> list[str]:
    """What in a text looks like a secret: a token's prefix, a key, a long random word, or a
    password in an address."""
    words = re.findall(r"[A-Za-z0-9+_-]+={0,2}", text)
    passwords = re.findall(r"://[^/\s:@]*:([^$\s@/]+)@", text)
    return [
        *TOKENS.findall(text),
        *filter(looks_secret, words),
        *(p for p in passwords if p != "password"),
    ]


# Without somebody's own secrets, which git ignores.
FILES = [
    *sorted(p for p in DEPLOY.rglob("*") if p.is_file() and "secrets" not in p.parts),
    ROOT / "docs" / "deploy.md",
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_secret_in_any_file(path):
    """No file that is deployed holds anything that looks like a secret."""
    assert secrets_in(path.read_text()) == []
    assert not re.search(r"^kind: Secret$", path.read_text(), re.MULTILINE)


@pytest.mark.parametrize(
    "text",
    [
        "token: ghs_0123456789abcdef",
        "-----BEGIN RSA PRIVATE KEY-----",
        "password: 5f4dcc3b5aa765d61d8327deb882cf99",
        "key: Zm9vYmFyYmF6cXV4MTIzNDU2Nzg5MGFiY2RlZg==",
        "postgresql://broker:hunter2@host/db",
    ],
)
def test_a_secret_would_be_seen(text):
    """Tokens, keys, random words and passwords in addresses are taken for what they are."""
    assert secrets_in(text)


@pytest.fixture
def secrets(tmp_path):
    """The directory that the document's commands make."""
    [script] = blocks("sh", "Secrets for compose and Kubernetes")
    run(script, tmp_path)
    return tmp_path / "secrets"


def test_secrets_are_made_as_shown(secrets):
    """The commands make every secret of the compose file but the App's key, in a directory closed
    to others, each of them another; and addresses that the broker can use, with the passwords that
    database and cache ask for, at the names that they have."""
    made = {path.name: path.read_text() for path in secrets.iterdir()}
    wanted = {path["file"].removeprefix("secrets/") for path in COMPOSE["secrets"].values()}
    urls = dict(line.split("=", 1) for line in made.pop("broker.env").splitlines())
    passwords = {name: made[f"{name}-password"].strip() for name in ("postgresql", "valkey")}

    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    assert made.keys() == wanted - {"app.pem"}
    assert len(set(made.values())) == len(made)
    assert all(len(value.strip()) == 64 for value in made.values())
    assert (
        urls["DATABASE_URL"]
        == f"postgresql://broker:{passwords['postgresql']}@postgresql:5432/broker"
    )
    assert urls["CACHE_URL"] == f"redis://:{passwords['valkey']}@valkey:6379/0"
    for name, port in (("postgresql", 5432), ("valkey", 6379)):
        assert name in COMPOSE["services"]
        assert named("Service", name)["spec"]["ports"][0]["port"] == port
    open_engine(urls["DATABASE_URL"]).dispose()


def test_certificate_is_made_as_shown(secrets):
    """The certificate is one that agents accept for the address they call, even where OpenSSL is
    strict, and for no other."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    [script] = [text for text in blocks("sh", "Kubernetes") if "openssl x509" in text]
    run(script, secrets.parent)
    service = named("Service", "broker")["metadata"]
    name = f"{service['name']}.{service['namespace']}.svc"

    assert shake_hands(secrets, name)
    assert shake_hands(secrets, f"{name}.cluster.local")
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(secrets, f"other.{name}")


def shake_hands(directory: Path, name: str) -> bool:
    """Whether a client that trusts ca.crt accepts tls.crt for this name. Raises SSLError."""
    trusting = ssl.create_default_context(cafile=str(directory / "ca.crt"))
    trusting.verify_flags |= ssl.VERIFY_X509_STRICT  # the default from Python 3.13 on
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.load_cert_chain(directory / "tls.crt", directory / "tls.key")
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting.wrap_bio(to_client, to_server, server_hostname=name)
    server = serving.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return client.version() is not None and client.getpeercert() is not None


def test_commands_name_files_that_exist():
    """Each path of the repository that the document names is there."""
    paths = re.findall(
        r"(?:deploy|requirements)/[\w./-]+\w", "\n".join(DOCUMENT.split("```")[1::2])
    )
    steps = re.findall(r"`(\d\d-[\w-]+\.yaml)`", DOCUMENT)

    assert paths
    assert [path for path in paths if not (ROOT / path).exists()] == []
    assert [step for step in steps if not (DEPLOY / "kubernetes" / step).is_file()] == []


def test_links_lead_somewhere():
    """Every relative link in the document names a file that exists."""
    links = re.findall(r"\]\((?!https?:)([^)#]+)", DOCUMENT)

    assert links
    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []
