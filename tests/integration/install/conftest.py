"""Fixtures of the install tests."""

from __future__ import annotations

import pytest


@pytest.fixture
def root(tmp_path):
    """The root file system of an image that is being built."""
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "usr" / "local" / "bin").mkdir(parents=True)
    return root
