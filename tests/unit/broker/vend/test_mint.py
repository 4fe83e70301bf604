"""What is minted is checked and on record before anybody gets it; else it is revoked."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from git_credential_relay.broker.errors import (
    ForgeRefusedError,
    ForgeUnavailableError,
    StoreError,
)
from git_credential_relay.broker.sources.interface import Repository
from git_credential_relay.secret import Secret, token_sha256
from tests.unit.broker.vend.chain import Chain


def test_a_token_that_expires_by_itself_is_recorded_once_it_is_there():
    """The record of a minted token holds what is needed to revoke it."""
    chain = Chain()

    asyncio.run(chain.minter.mint(chain.order()))

    [lease] = chain.leases.added
    assert (lease.workspace_id, lease.source, lease.handle) == ("w1", "fake", "id-tok-1")
    assert lease.token_sha256 == token_sha256(Secret("tok-1"))
    assert lease.expires_at == int(chain.clock()) + 3600


def test_a_token_that_never_expires_is_recorded_before_it_is_minted():
    """Whoever dies between mint and record leaves a name by which the token is found."""
    chain = Chain()
    chain.source.needs_lease_first = True

    asyncio.run(chain.minter.mint(chain.order()))

    assert [lease.id for lease in chain.leases.added] == [chain.source.leases[0].id]
    assert chain.leases.added[0].token is None
    assert chain.leases.finished[0][:2] == (chain.source.leases[0].id, "id-tok-1")


@pytest.mark.parametrize(
    ("error", "kept"),
    [
        (ForgeRefusedError("no"), 0),
        (ForgeRefusedError("too much", code="FORGE_SCOPE_MISMATCH"), 1),
        (ForgeUnavailableError("lost"), 1),
    ],
)
def test_the_record_of_a_failed_mint_stays_while_there_may_be_a_token(error, kept):
    """After a clear no there is nothing to look for; after a lost answer there may be."""
    chain = Chain()
    chain.source.needs_lease_first, chain.source.fails = True, error

    with pytest.raises(type(error)):
        asyncio.run(chain.minter.mint(chain.order()))
    assert len(chain.leases.added) == kept


def test_without_a_record_nothing_is_minted_that_lives_for_ever():
    """Where the store is down, no token is made that only the store could end."""
    chain = Chain()
    chain.source.needs_lease_first = True
    chain.leases.fails = StoreError("down")

    with pytest.raises(StoreError):
        asyncio.run(chain.minter.mint(chain.order()))
    assert chain.source.mints == 0


def test_a_token_that_cannot_be_recorded_is_revoked():
    """What cannot be put on record is not handed out."""
    chain = Chain()
    chain.leases.fails = StoreError("down")

    with pytest.raises(StoreError):
        asyncio.run(chain.minter.mint(chain.order()))
    assert chain.source.revoked == ["tok-1"]


@pytest.mark.parametrize(
    "changes",
    [
        lambda m: replace(m, repositories=("acme/app", "acme/secret")),
        lambda m: replace(m, repositories=("acme/other",)),
        lambda m: replace(m, repositories=()),
        lambda m: replace(m, permissions={"contents": "admin"}),
        lambda m: replace(m, permissions={"contents": "write", "actions": "read"}),
        lambda m: replace(m, permissions={"contents": "owner"}),
    ],
    ids=["more", "another", "none named", "higher", "further", "unknown level"],
)
def test_a_token_for_more_than_was_asked_is_revoked(changes):
    """Fail closed: no token gets out that may do more than the grant says."""
    chain = Chain()
    chain.source.changes = changes

    with pytest.raises(ForgeRefusedError) as caught:
        asyncio.run(chain.minter.mint(chain.order()))
    assert caught.value.code == "FORGE_SCOPE_MISMATCH"
    assert chain.source.revoked == ["tok-1"]


def test_a_renamed_repository_is_the_same_where_its_id_is_pinned():
    """With an id the forge may call the repository by its new name."""
    chain = Chain()
    chain.source.changes = lambda m: replace(m, repositories=("acme/renamed",))
    order = chain.order()
    scope = replace(order.scope, repositories=(Repository("acme/app", 7),))

    minted = asyncio.run(chain.minter.mint(replace(order, scope=scope)))

    assert minted.repositories == ("acme/renamed",)


def test_less_than_was_asked_is_no_mistake():
    """A forge may give less."""
    chain = Chain()
    chain.source.changes = lambda m: replace(
        m, permissions={"contents": "read", "metadata": "read"}
    )

    assert asyncio.run(chain.minter.mint(chain.order())).token == Secret("tok-1")


def test_a_token_that_was_lent_to_us_is_neither_recorded_nor_revoked():
    """What may serve others is not ours to end."""
    chain = Chain()
    chain.source.changes = lambda m: replace(m, is_ours=False, repositories=("acme/x",))

    with pytest.raises(ForgeRefusedError):
        asyncio.run(chain.minter.mint(chain.order()))
    assert (chain.leases.added, chain.source.revoked) == ([], [])


def test_a_fresh_token_is_handed_out_once_the_forge_takes_it():
    """Where a forge's copies lag, the broker waits for them, not the agent's git."""
    chain = Chain()
    chain.source.verifies_fresh, chain.source.unaccepted_looks = True, 1

    asyncio.run(chain.minter.mint(chain.order()))

    assert chain.source.looks == 2


def test_a_token_the_forge_never_takes_is_revoked_in_time():
    """Waiting ends with the deadline, with an error that says to try again."""
    chain = Chain()
    chain.source.verifies_fresh, chain.source.unaccepted_looks = True, 1000

    with pytest.raises(ForgeUnavailableError) as caught:
        asyncio.run(chain.minter.mint(chain.order()))
    assert (caught.value.code, caught.value.retryable) == ("FORGE_TOKEN_NOT_ACCEPTED", True)
    assert chain.source.revoked == ["tok-1"]
