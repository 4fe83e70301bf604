"""Fixtures of the broker's integration tests: a PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fakes.servers import PostgreSQL, running_postgresql


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """One server for all tests: whoever asks it for a database has one of their own."""
    with running_postgresql() as server:
        yield server
