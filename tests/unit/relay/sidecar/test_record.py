"""The record: what happened for each target, and what went wrong last."""

from __future__ import annotations

import pytest

from git_credential_relay.credential.forge import Target
from git_credential_relay.errors import (
    NOT_SERVED,
    DeniedError,
    NoCredentialError,
    RelayError,
    SourceError,
    TransportError,
    UnavailableError,
)
from git_credential_relay.relay.sidecar.record import (
    MAX_TARGETS,
    Record,
    answered,
    failed,
    trouble_of,
)
from git_credential_relay.secret import Secret, token_sha256
from tests.fakes.configs import GITHUB_COM
from tests.fakes.credentials import credential
from tests.fakes.fake_clock import START as NOW

APP = Target(GITHUB_COM, "acme/app")
LIB = Target(GITHUB_COM, "acme/lib")
DENIED, DOWN = DeniedError("no"), UnavailableError("in trouble")


def test_each_repository_and_use_has_its_own_history():
    """A token for git and one for the API are two things, as two repositories are."""
    record = Record()
    for target in (APP, APP.for_use("api"), LIB, APP):
        record.asked(target, NOW)

    assert [(str(use.target), use.target.use, use.asks) for use in record.uses()] == [
        ("https://github.com/acme/app", "git", 2),
        ("https://github.com/acme/lib", "git", 1),
        ("https://github.com/acme/app", "api", 1),
    ]
    assert record.find(Target(GITHUB_COM, "acme/new")) is None


@pytest.mark.parametrize("step", [1, -100], ids=["later", "clock put back"])
def test_a_failure_is_over_with_the_next_answer(step):
    """What happened last decides, whatever the clock says."""
    record = Record()
    use = record.asked(APP, NOW)
    seen = [(use.is_troubled, record.api.is_failing)]
    for number, error in enumerate([DOWN, None, DOWN, DENIED], start=1):
        now = NOW + number * step
        if error is None:
            answered(use, credential("tok"), now)
            record.api_answered(now)
        else:
            failed(use, error, now)
            record.api_failed(error, now)
        seen.append((use.is_troubled, record.api.is_failing))

    assert seen == [(False, False), (True, True), (False, False), (True, True), (True, False)]


@pytest.mark.parametrize("code", sorted(NOT_SERVED))
def test_that_it_has_nothing_for_a_host_is_an_answer_of_the_api(code):
    """It is well, and that was no trouble with it."""
    record = Record()
    record.api_failed(DOWN, NOW)
    record.api_failed(RelayError("nothing for it", code=code), NOW + 1)

    assert (record.api.is_failing, record.api.answered_at) == (False, NOW + 1)
    assert record.api.trouble is not None
    assert record.api.trouble.code == DOWN.code


def test_a_hit_keeps_where_the_token_came_from():
    """Answers from memory are counted, and the source stays that of the first."""
    use = Record().asked(APP, NOW)
    answered(use, credential("tok", source="relay API"), NOW)
    answered(use, credential("tok", source="cache"), NOW + 1, is_hit=True)

    assert (use.hits, use.source) == (1, "relay API")
    assert use.token_sha256 == token_sha256(Secret("tok"))


def test_a_remembered_failure_keeps_its_first_telling():
    """The first words say more than that there were some; only the time is new."""
    use = Record().asked(APP, NOW)
    failed(use, NoCredentialError("x", [("relay API", DENIED)]), NOW)
    assert use.trouble is not None
    first = use.trouble
    memory = RelayError("no (remembered)", code="denied")
    memory.is_remembered = True
    failed(use, NoCredentialError("x", [("relay API", memory)]), NOW + 5)

    assert (use.trouble.lines, use.trouble.at) == (first.lines, NOW + 5)
    failed(use, RelayError("other", code="other"), NOW + 6)
    assert use.trouble.code == "other"


@pytest.mark.parametrize(("given", "is_troubled"), [("tok", True), ("other", False)])
def test_a_refusal_of_the_forge_counts_for_the_token_that_we_gave(given, is_troubled):
    """An `erase` of somebody else's password, or of an older token, is no trouble of ours."""
    record = Record()
    answered(record.asked(APP, NOW), credential("tok"), NOW)
    record.refused(APP, token_sha256(Secret(given)), NOW + 1)
    record.refused(LIB, token_sha256(Secret("tok")), NOW + 1)
    use = record.find(APP)

    assert use is not None
    assert use.is_troubled == is_troubled
    assert (use.trouble.code if use.trouble else None) == ("token-refused" if is_troubled else None)
    assert record.find(LIB) is None


def test_a_refused_token_is_no_longer_held():
    """No life is told of it, though another git that has it as well may say so again."""
    record = Record()
    use = record.asked(APP, NOW)
    answered(use, credential("tok"), NOW)
    record.refused(APP, token_sha256(Secret("tok")), NOW + 1)

    assert (use.token_sha256, use.fetched_at, use.expires_at) == (None, None, None)
    record.refused(APP, token_sha256(Secret("tok")), NOW + 2)
    assert use.trouble is not None
    assert use.trouble.at == NOW + 2


def test_the_latest_trouble_that_is_not_over_comes_first():
    """Only where all is over does the latest of those count; without any there is none."""
    record = Record()
    assert record.last_trouble() is None
    failed(record.asked(APP, NOW), DENIED, NOW)
    use = record.asked(LIB, NOW)
    failed(use, DENIED, NOW + 10)
    answered(use, credential("tok"), NOW + 11)
    found = record.last_trouble()
    assert found is not None
    assert found.target == APP
    answered(found, credential("tok"), NOW + 12)
    over = record.last_trouble()
    assert over is not None
    assert over.target == LIB


def test_the_api_s_state_tells_a_refusal_from_a_failure():
    """An API that says no is there; one that cannot be reached, or is in trouble, is not."""
    record = Record()
    record.api_failed(DENIED, NOW)
    assert (record.api.answered_at, record.api.failed_at) == (NOW, None)
    for error in (TransportError("away"), UnavailableError("busy")):
        record.api_failed(error, NOW + 1)
        assert (record.api.answered_at, record.api.failed_at) == (NOW, NOW + 1)
    record.api_answered(NOW + 2)
    assert record.api.answered_at == NOW + 2


def test_names_without_end_do_not_fill_the_memory():
    """The targets that were used last stay; whoever asks for ever new ones pushes out old ones."""
    record = Record()
    for number in range(MAX_TARGETS + 100):
        record.asked(Target(GITHUB_COM, f"acme/r{number}"), NOW)
        record.asked(APP, NOW)
    uses = record.uses()

    assert len(uses) == MAX_TARGETS
    assert uses[0].target.repository == "acme/app"
    assert uses[0].asks == MAX_TARGETS + 100


def test_the_code_of_a_chain_is_that_of_its_cause():
    """What a person should read first names the trouble."""
    chain = NoCredentialError("x", [("GH_TOKEN", SourceError("not set", code="not-set")),
                                    ("relay API", DENIED)])  # fmt: skip
    found = trouble_of(chain, NOW)

    assert found.code == "denied"
    assert found.lines[0].startswith(
        "git-credential-relay: error: no credential for x: no [denied]"
    )
