"""Fixtures of the identity tests."""

from collections.abc import Iterator

import pytest

from tests.fakes.issuer import FakeIssuer, running_issuer


@pytest.fixture
def issuer() -> Iterator[FakeIssuer]:
    """A running issuer with one RSA key."""
    with running_issuer() as running:
        yield running
