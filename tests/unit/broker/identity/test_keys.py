"""An issuer's keys: when they are fetched, how often, from where, and for how long they count."""

import asyncio
import json
import ssl

import pytest
import trustme

from git_credential_relay.broker.errors import CallerUnknownError, IssuerUnavailableError
from git_credential_relay.errors import ConfigError
from tests.fakes.fake_clock import FakeClock
from tests.fakes.issuer import jwk, running_issuer
from tests.unit.broker.identity.verifying import make_verifier, model, refusal, verify

DISCOVERY = "/.well-known/openid-configuration"


def with_verifier(scenario, *models, **options):
    """Run the scenario with a verifier and the clock it goes by."""
    clock = FakeClock()

    async def run():
        verifier = make_verifier(*models, monotonic=lambda: clock.ticks, **options)
        try:
            return await scenario(verifier, clock)
        finally:
            await verifier.aclose()

    return asyncio.run(run())


def test_keys_are_fetched_once(issuer):
    """A hundred tokens at once, and later ones, cost one fetch."""

    async def scenario(verifier, clock):
        await asyncio.gather(*(verifier.verify(issuer.token()) for _ in range(100)))
        clock.advance(599)
        await verifier.verify(issuer.token())

    with_verifier(scenario, model(issuer.url))

    assert issuer.requests == [DISCOVERY, "/jwks"]


def test_keys_are_fetched_again_after_ten_minutes(issuer):
    """A key that the issuer has withdrawn stops to count."""

    async def scenario(verifier, clock):
        token = issuer.token()
        await verifier.verify(token)
        issuer.keys = [jwk("rsa-2")]
        clock.advance(601)
        with pytest.raises(CallerUnknownError):
            await verifier.verify(token)

    with_verifier(scenario, model(issuer.url))


def test_a_new_key_is_found_at_once(issuer):
    """After the issuer has rotated its key, the first token of the new one causes a fetch."""

    async def scenario(verifier, clock):
        await verifier.verify(issuer.token())
        clock.advance(31)
        issuer.keys = [jwk("rsa-1"), jwk("rsa-2")]
        return await verifier.verify(issuer.token(key="rsa-2"))

    assert with_verifier(scenario, model(issuer.url))["iss"] == issuer.url
    assert issuer.requests == [DISCOVERY, "/jwks"] * 2


def test_unknown_keys_cause_one_fetch_in_thirty_seconds(issuer):
    """Nobody can make the broker hammer an issuer by inventing key ids."""

    async def invent(verifier, count):
        for number in range(count):
            with pytest.raises(CallerUnknownError):
                await verifier.verify(issuer.token(headers={"kid": f"invented-{number}"}))

    async def scenario(verifier, clock):
        await invent(verifier, 20)
        clock.advance(31)
        await invent(verifier, 20)

    with_verifier(scenario, model(issuer.url))

    assert issuer.requests == [DISCOVERY, "/jwks"] * 2


def test_old_keys_count_for_an_hour_while_the_issuer_is_down(issuer):
    """An issuer's outage is no outage of ours, until its keys are too old to be trusted."""

    async def scenario(verifier, clock):
        await verifier.verify(issuer.token())
        issuer.answers[DISCOVERY] = lambda: (500, {}, b"")
        clock.advance(3600)
        await verifier.verify(issuer.token())
        clock.advance(1)
        with pytest.raises(IssuerUnavailableError) as caught:
            await verifier.verify(issuer.token())
        return caught.value

    error = with_verifier(scenario, model(issuer.url))

    assert (error.status, error.code, error.retryable) == (503, "ISSUER_UNAVAILABLE", True)
    assert error.reason == f"{issuer.url}: it answered HTTP 500"


def test_an_issuer_that_is_down_is_left_alone_for_a_while(issuer):
    """The first failure says when the next attempt is made, and no request makes one before."""

    async def scenario(verifier, clock):
        issuer.answers[DISCOVERY] = lambda: (503, {}, b"")
        waits = []
        for _ in range(3):
            with pytest.raises(IssuerUnavailableError) as caught:
                await verifier.verify(issuer.token())
            waits.append(caught.value.retry_after)
            clock.advance(10)
        del issuer.answers[DISCOVERY]
        clock.advance(1)
        await verifier.verify(issuer.token())
        return waits

    assert with_verifier(scenario, model(issuer.url)) == [30, 20, 10]
    assert issuer.requests == [DISCOVERY, DISCOVERY, "/jwks"]


def test_who_goes_away_does_not_take_the_fetch_along(issuer):
    """The fetch goes on for the others when the request that began it is cancelled."""

    async def scenario(verifier, clock):
        issuer.gate.clear()
        first = asyncio.create_task(verifier.verify(issuer.token()))
        second = asyncio.create_task(verifier.verify(issuer.token()))
        assert await asyncio.to_thread(issuer.asked.wait, 10)
        first.cancel()
        await asyncio.sleep(0)
        issuer.gate.set()
        return await second

    assert with_verifier(scenario, model(issuer.url))
    assert issuer.requests == [DISCOVERY, "/jwks"]


def test_an_issuer_may_have_a_path(issuer):
    """A GitLab below a path has its discovery document there too."""
    with running_issuer("/gitlab") as gitlab:
        assert verify(gitlab.token(), model(gitlab.url))["iss"].endswith("/gitlab")

        assert gitlab.requests[0] == f"/gitlab{DISCOVERY}"


def test_keys_can_be_at_another_place_if_that_is_configured(issuer):
    """With jwks_uri there is no discovery, and the host may be another."""
    token = issuer.token(iss="https://kubernetes.default.svc")
    kubernetes = model("https://kubernetes.default.svc", jwks_uri=f"{issuer.url}/jwks")

    assert verify(token, kubernetes)["sub"]
    assert issuer.requests == ["/jwks"]


def answer(body=b"{}", status=200, **headers):
    return lambda: (status, headers, body)


@pytest.mark.parametrize(
    ("path", "reply", "cause"),
    [
        (DISCOVERY, answer(status=301, Location="/elsewhere"), "it answered HTTP 301"),
        ("/jwks", answer(status=302, Location="/elsewhere"), "it answered HTTP 302"),
        (DISCOVERY, answer(b"<html>"), "its discovery document is not JSON"),
        (DISCOVERY, answer(b"[" * 50_000), "its discovery document is not JSON"),
        (DISCOVERY, answer(b"[]"), "its discovery document is another issuer's"),
        ("/jwks", answer(b" " * (100 * 1024 + 1)), "it sent more than 102400 bytes"),
        (DISCOVERY, answer(b" " * (100 * 1024 + 1)), "it sent more than 102400 bytes"),
        ("/jwks", answer(b"[]"), "not a key set: no list of at most 100 keys"),
        ("/jwks", answer(b'{"keys": 5}'), "not a key set: no list of at most 100 keys"),
        ("/jwks", answer(b"[" * 50_000), "not a key set: nested too deep"),
        (
            "/jwks",
            answer(json.dumps({"keys": [{}] * 101}).encode()),
            "not a key set: no list of at most 100 keys",
        ),
    ],
)
def test_answers_that_are_not_taken(issuer, path, reply, cause):
    """An answer that is too long, leads away or is none at all gives no keys."""
    issuer.answers[path] = reply

    with pytest.raises(IssuerUnavailableError) as caught:
        verify(issuer.token(), model(issuer.url))

    assert str(caught.value.reason).endswith(cause)
    assert "/elsewhere" not in issuer.requests


@pytest.mark.parametrize(
    ("discovery", "cause"),
    [
        ({"issuer": "https://other.example"}, "its discovery document is another issuer's"),
        ({"jwks_uri": None}, "its keys are at another host; set jwks_uri if that is meant"),
        (
            {"jwks_uri": "https://other.example/jwks"},
            "its keys are at another host; set jwks_uri if that is meant",
        ),
        (
            {"jwks_uri": "http://127.0.0.1:1/jwks"},
            "its keys are at another host; set jwks_uri if that is meant",
        ),
        (
            {"jwks_uri": "http://keys.example/jwks"},
            "its jwks_uri is refused: the URL is not https",
        ),
        ({"jwks_uri": "file:///etc/keys"}, "its jwks_uri is refused: not an http or https URL"),
        (
            {"jwks_uri": "https://u:p@127.0.0.1/"},
            "its jwks_uri is refused: a URL must not carry a user name or password",
        ),
    ],
)
def test_discovery_that_leads_away_is_not_followed(issuer, discovery, cause):
    """Keys come from the issuer's own host unless the configuration says otherwise."""
    issuer.discovery = discovery

    with pytest.raises(IssuerUnavailableError) as caught:
        verify(issuer.token(), model(issuer.url))

    assert caught.value.reason == f"{issuer.url}: {cause}"


def test_an_issuer_that_cannot_be_reached(issuer):
    """A refused connection is trouble that may pass."""
    token, url = issuer.token(), issuer.url
    issuer.stop()

    with pytest.raises(IssuerUnavailableError) as caught:
        verify(token, model(url))

    assert caught.value.reason == f"{url}: no answer: ConnectError"


def test_an_issuers_certificate_must_be_trusted(tmp_path):
    """Keys come by TLS from the issuer itself; a company's own authority can be named."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with running_issuer(context=context) as issuer:
        assert verify(issuer.token(), model(issuer.url, ca_file="ca.pem"), directory=tmp_path)

        with pytest.raises(IssuerUnavailableError) as caught:
            verify(issuer.token(), model(issuer.url))
    assert caught.value.reason == f"{issuer.url}: no answer: ConnectError"


def test_a_ca_file_that_is_none_stops_the_start(tmp_path):
    """A mistake in ca_file is found at the start."""
    with pytest.raises(ConfigError, match="the certificate authorities cannot be read"):
        make_verifier(model("https://issuer.example", ca_file="missing"), directory=tmp_path)


def test_keys_of_odd_kinds_are_passed_over(issuer):
    """A set may hold keys we know nothing of; those we do know still count."""
    issuer.keys = [
        {"kty": "oct", "kid": "rsa-1", "k": "c2VjcmV0"},
        {"kty": "EC", "kid": "rsa-1", "crv": "P-256", "x": "!", "y": "!"},
        {"kty": "new", "kid": 5},
        jwk("rsa-1", kid=["x"]),
        jwk("rsa-1", use="enc"),
        jwk("rsa-1"),
        jwk("rsa-2", kid="rsa-1"),
    ]

    assert verify(issuer.token(), model(issuer.url))


@pytest.mark.parametrize("use", ["enc", "x509-svid", 5])
def test_a_key_for_something_else_verifies_no_token(issuer, use):
    """A key counts for what its issuer made it for."""
    issuer.keys = [jwk("rsa-1", use=use)]

    assert refusal(issuer.token(), model(issuer.url)) == "its issuer has no such key"


def test_a_key_file_needs_no_network(issuer, tmp_path):
    """A private cluster's keys can be in a file; a single one needs no name."""
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": [jwk("rsa-1")]}))
    private = model(issuer.url, jwks_file="jwks.json")

    assert verify(issuer.token(), private, directory=tmp_path)
    assert verify(issuer.token(headers={"kid": None}), private, directory=tmp_path)
    assert issuer.requests == []


def test_of_several_keys_in_a_file_one_must_be_named(issuer, tmp_path):
    """Without a name it is not tried which of them fits."""
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": [jwk("rsa-1"), jwk("rsa-2")]}))
    private = model(issuer.url, jwks_file="jwks.json")
    token = issuer.token(headers={"kid": None})

    assert refusal(token, private, directory=tmp_path) == "its issuer has no such key"


def test_a_key_file_is_read_again(issuer, tmp_path):
    """A new key in the file is found without a restart, and a broken file leaves the old ones."""
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps({"keys": [jwk("rsa-1")]}))

    async def scenario(verifier, clock):
        file.write_text("{")
        await verifier.verify(issuer.token())
        clock.advance(601)
        await verifier.verify(issuer.token())
        file.write_text(json.dumps({"keys": [jwk("rsa-1"), jwk("rsa-2")]}))
        clock.advance(31)
        return await verifier.verify(issuer.token(key="rsa-2"))

    private = model(issuer.url, jwks_file="jwks.json")
    assert with_verifier(scenario, private, directory=tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", None])
def test_a_key_file_that_is_none_stops_the_start(tmp_path, text):
    """A broken or missing file is found before anybody's token is refused for it."""
    if text is not None:
        (tmp_path / "jwks.json").write_text(text)

    with pytest.raises(ConfigError, match=r"issuer https://kubernetes\.default\.svc: "):
        make_verifier(
            model("https://kubernetes.default.svc", jwks_file="jwks.json"), directory=tmp_path
        )


def test_probing_tells_what_is_wrong_with_each_issuer(issuer):
    """The check of a configuration fetches every issuer's keys and says what is not right."""
    with running_issuer() as empty, running_issuer() as broken:
        empty.keys = []
        broken.answers["/jwks"] = answer(status=404)

        async def scenario(verifier, clock):
            return await verifier.probe()

        found = with_verifier(scenario, model(issuer.url), model(empty.url), model(broken.url))

        assert found == {
            issuer.url: None,
            empty.url: "it has no key we could use",
            broken.url: "it answered HTTP 404",
        }
