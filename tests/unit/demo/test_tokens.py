"""The forge's token table."""

import base64
import hashlib

from git_credential_relay.demo.tokens import TokenTable, token_sha256


def test_sha256_is_the_base64_of_the_digest():
    """A token is recorded as GitHub's hashed_token: base64 of the SHA-256 digest."""
    expected = base64.b64encode(hashlib.sha256(b"secret").digest()).decode()

    assert token_sha256("secret") == expected


def test_expiry_is_rounded_down():
    """The announced expiry is a whole second that is never later than the lifetime."""
    issued = TokenTable(now=lambda: 100.9).issue(["a/b"], push=True, lifetime_seconds=5)

    assert issued.expires_at == 105


def test_dead_tokens_are_found_but_not_usable():
    """An expired or revoked token is still known, and not usable."""
    now = [100.0]
    table = TokenTable(now=lambda: now[0])
    expiring = table.issue(["a/b"], push=True, lifetime_seconds=5)
    revoked = table.issue(["a/b"], push=True, lifetime_seconds=50)
    assert table.find_usable(expiring.token) == expiring
    now[0] = 105.0
    table.revoke(revoked.token)

    assert [table.find(t.token) for t in (expiring, revoked)] == [expiring, revoked]
    assert [table.find_usable(t.token) for t in (expiring, revoked)] == [None, None]
    assert table.issued == (expiring, revoked)


def test_unknown_token_is_not_found():
    """A token that was never issued is neither found nor usable, revoked or not."""
    table = TokenTable()
    table.revoke("unknown")

    assert (table.find("unknown"), table.find_usable("unknown")) == (None, None)


def test_tokens_differ_and_stay_out_of_their_repr():
    """Two tokens are never the same, and their repr does not show them."""
    table = TokenTable()
    one, other = (table.issue(["a/b"], push=False, lifetime_seconds=5) for _ in range(2))

    assert one.token != other.token
    assert one.token not in repr(one)
