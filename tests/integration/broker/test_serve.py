"""`broker serve` as a process: how it starts, answers, reloads and ends."""

from __future__ import annotations

import contextlib
import json
import logging
import signal
import socket
import ssl
import sys
import time

import pytest
import trustme
from cryptography import x509
from cryptography.x509.oid import NameOID

from git_credential_relay.main import main
from tests.fakes.broker import BrokerProcess, reply_of
from tests.fakes.broker_files import ONE, write_config

TOKEN = "a-token-that-a-person-made"
SECRET = "secret-of-w1"
PLACE = {"host": "git.example.com", "path": "acme/w1"}


@pytest.fixture
def directory(tmp_path, monkeypatch):
    """A directory with a configuration of one static token and one workspace."""
    monkeypatch.setenv("STATIC_TOKEN", TOKEN)
    directory = tmp_path / "broker"
    directory.mkdir()
    write_config(directory, ONE)
    return directory


@pytest.fixture
def refused(capsys):
    """Runs `broker serve`, which must end with this exit code; the one line it says."""
    root = logging.getLogger()
    before = root.handlers, root.level

    def run(exit_code, *arguments):
        assert main(["broker", "serve", *arguments]) == exit_code
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert err.startswith("git-credential-relay: error: ")
        return err

    yield run
    root.handlers, root.level = before
    logging.captureWarnings(False)


def test_it_vends_and_records(directory):
    """A workspace with its secret gets the token, another secret none; both are in the audit
    with the answer's request id, and neither log nor audit holds secret or token."""
    with BrokerProcess(directory) as broker:
        given = broker.ask("w1", SECRET, **PLACE)
        refused = broker.ask("w1", "another secret", **PLACE)
        denied = broker.ask("w1", SECRET, host="git.example.com", path="acme/other")
        absent = broker.ask("w1", SECRET, host="elsewhere.example")
        ready = broker.request("GET", "/readyz")
        assert broker.stop() == 0

    assert (given.status, given.json["token"]) == (200, TOKEN)
    assert [answer.status for answer in (refused, denied, absent, ready)] == [401, 403, 404, 200]
    audit = (directory / "audit.ndjson").read_text()
    events = [json.loads(line) for line in audit.splitlines()]
    assert [(e["verdict"], e["request_id"]) for e in events] == [
        ("vended", given.headers["x-request-id"]),
        ("denied", refused.headers["x-request-id"]),
        ("denied", denied.headers["x-request-id"]),
        ("not-served", absent.headers["x-request-id"]),
    ]
    for text in (audit, "\n".join(broker.lines)):
        assert TOKEN not in text
        assert SECRET not in text
    assert all("level" in line for line in broker.logs)


@pytest.mark.parametrize(
    ("text", "line", "cause"),
    [
        pytest.param(ONE + "\nbogus = 1\n", None, "unknown field `bogus`", id="unknown key"),
        pytest.param("listen = 5\n" + ONE, 1, "Expected `str`", id="type"),
        pytest.param("[[forge]\n", 1, "Expected", id="no TOML"),
        pytest.param(
            ONE.replace("env:STATIC_TOKEN", "gone.token"), 2, "gone.token", id="missing secret"
        ),
        pytest.param('tls_certificate_file = "x"\n' + ONE, 1, "belong together", id="half TLS"),
        pytest.param(
            'tls_certificate_file = "x"\ntls_key_file = "y"\n' + ONE, 1, "cannot be used",
            id="no certificate",
        ),
        pytest.param('trusted_proxies = ["proxy"]\n' + ONE, 1, "not a network", id="proxies"),
    ],
)  # fmt: skip
def test_it_does_not_start_on_a_mistake(directory, refused, text, line, cause):
    """A wrong configuration is one line with file, line and cause, exit code 2, no traceback."""
    (directory / "broker.toml").write_text(text)
    told = refused(2, "--config", str(directory / "broker.toml"), "--listen", "127.0.0.1:0")

    assert cause in told
    if line is not None:
        assert f"broker.toml:{line}: " in told


def test_a_configuration_that_is_not_there(tmp_path, refused, monkeypatch):
    """Without --config it is ./broker.toml, and that it is missing is said."""
    monkeypatch.chdir(tmp_path)
    told = refused(2)

    assert f"cannot read {tmp_path / 'broker.toml'}" in told
    assert "--config" in told


def test_a_port_in_use_is_said(directory, refused):
    """Exit code 1, one line, and what listens there is left alone."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        told = refused(
            1, "--config", str(directory / "broker.toml"), "--listen", f"127.0.0.1:{port}"
        )

    assert f"cannot listen at 127.0.0.1:{port}: address already in use" in told
    assert "[cannot-listen]" in told


@contextlib.contextmanager
def half_a_request(broker):
    """A request whose body is still on its way; gives what sends the rest."""
    body = json.dumps({"workspaceId": "w1", **PLACE}).encode()
    connection = broker.connect()
    with contextlib.closing(connection):
        connection.putrequest("POST", "/api/git/token")
        connection.putheader("Authorization", f"Bearer {SECRET}")
        connection.putheader("Content-Type", "application/json")
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders()
        connection.send(body[:5])
        # Answered, so the broker has seen what was sent before on the other connection.
        assert broker.request("GET", "/healthz").status == 200
        yield lambda: (connection.send(body[5:]), reply_of(connection))[1]


def wait_until_closed(port):
    """Return once nobody can connect any more."""
    give_up_at = time.monotonic() + 10
    while time.monotonic() < give_up_at:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return
        time.sleep(0.01)
    raise AssertionError("it still listens")


def test_a_signal_drains(directory):
    """What is under way is answered, nobody new is let in, and the exit code is 0."""
    with BrokerProcess(directory) as broker, half_a_request(broker) as finish:
        broker.process.send_signal(signal.SIGTERM)
        wait_until_closed(broker.port)
        assert broker.process.poll() is None
        answer = finish()
        assert broker.wait() == 0

    assert (answer.status, answer.json["token"]) == (200, TOKEN)


def test_draining_ends(directory):
    """A client that never finishes keeps the broker for drain_seconds, and no longer."""
    write_config(directory, ONE + "\n[limits]\ndrain_seconds = 1\n")
    with BrokerProcess(directory) as broker, half_a_request(broker):
        started = time.monotonic()
        assert broker.stop() == 0

    assert time.monotonic() - started < 5
    [event] = [json.loads(s) for s in (directory / "audit.ndjson").read_text().splitlines()]
    assert (event.get("verdict", "failed"), event["reason"]) == ("failed", "CancelledError")


def test_a_second_signal_ends_at_once(directory):
    """Whoever cannot wait for the drain need not."""
    with BrokerProcess(directory) as broker, half_a_request(broker):
        broker.process.send_signal(signal.SIGTERM)
        wait_until_closed(broker.port)
        started = time.monotonic()
        assert broker.stop() == 128 + signal.SIGTERM

    assert time.monotonic() - started < 2


def test_an_idle_connection_does_not_hold_up_the_end(directory):
    """A client that keeps its connection open is no request under way; Ctrl-C drains too."""
    with BrokerProcess(directory) as broker, contextlib.closing(broker.connect()) as connection:
        connection.request("GET", "/healthz")
        assert reply_of(connection).status == 200
        started = time.monotonic()
        assert broker.stop(signal.SIGINT) == 0

    assert time.monotonic() - started < 3


def issue(authority, directory, name):
    """A certificate for loopback in the files that the configuration names."""
    issued = authority.issue_cert("127.0.0.1", common_name=name)
    issued.cert_chain_pems[0].write_to_path(str(directory / "tls.pem"))
    issued.private_key_pem.write_to_path(str(directory / "tls.key"))


def test_tls_and_its_renewal(directory):
    """With a certificate it speaks TLS alone; SIGHUP takes a renewed one, and a broken one
    leaves the old."""
    authority = trustme.CA()
    context = ssl.create_default_context()
    authority.configure_trust(context)
    issue(authority, directory, "first")
    names = 'tls_certificate_file = "tls.pem"\ntls_key_file = "tls.key"\n'
    write_config(directory, names + ONE)

    def common_name(broker):
        with (
            socket.create_connection(("127.0.0.1", broker.port)) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
        ):
            certificate = x509.load_der_x509_certificate(connection.getpeercert(True) or b"")
        [name] = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return name.value

    with BrokerProcess(directory) as broker:
        assert broker.url.startswith("https://")
        assert broker.request("GET", "/healthz", context=context).status == 200
        assert common_name(broker) == "first"
        issue(authority, directory, "second")
        broker.process.send_signal(signal.SIGHUP)
        give_up_at = time.monotonic() + 10
        while common_name(broker) != "second":
            assert time.monotonic() < give_up_at
        (directory / "tls.key").write_text("broken")
        broker.process.send_signal(signal.SIGHUP)
        broker.wait_for_line("not reloaded")
        assert common_name(broker) == "second"
        assert broker.stop() == 0


def test_a_broken_edit_is_said_and_does_not_count(directory):
    """After SIGHUP on a broken file the log and /readyz say so; the old one is in force, and no
    replica is taken out of service."""
    with BrokerProcess(directory) as broker:
        (directory / "broker.toml").write_text('[[workspace]]\nid = "secret project"\n')
        broker.process.send_signal(signal.SIGHUP)
        broker.wait_for_line("stays as it was")
        ready = broker.request("GET", "/readyz")
        given = broker.ask("w1", SECRET, **PLACE)

    assert (ready.status, ready.json["ready"]) == (200, True)
    assert "the last good one is in force" in ready.json["checks"]["configuration"]
    assert b"secret" not in ready.body
    assert given.status == 200


def test_a_cache_that_is_away_is_told(directory):
    """The probe and the metrics say so, and the broker stays in service."""
    with BrokerProcess(directory, "--cache-url", "redis://127.0.0.1:1") as broker:
        ready = broker.request("GET", "/readyz")
        metrics = broker.request("GET", "/metrics").body

    assert (ready.status, ready.json["ready"]) == (200, True)
    assert ready.json["checks"]["cache"] == "no connection"
    assert b"relay_broker_cache_up 0.0" in metrics


@pytest.mark.parametrize("command", [["serve"], ["check"], ["audit", "tail"], ["key", "rotate"]])
def test_a_missing_extra_is_said(monkeypatch, capsys, command):
    """Without the extra `broker` each command says what to install; help works all the same."""
    for name in list(sys.modules):
        if name.startswith("git_credential_relay.broker"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "msgspec", None)

    assert main(["broker", *command]) == 2
    told = capsys.readouterr().err
    assert "[missing-extra]" in told
    assert "pip install 'git-credential-relay[broker]'" in told
    assert main(["broker", *command, "--help"]) == 0
    assert capsys.readouterr().err == ""
