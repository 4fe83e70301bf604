"""Which cache a configuration gets."""

import os
import subprocess
import sys

import pytest

from git_credential_relay.relay.cache.choose import choose_cache
from git_credential_relay.relay.cache.keyring import KeyringCache
from git_credential_relay.relay.cache.memory import MemoryCache
from git_credential_relay.relay.cache.tmpfs import TmpfsCache
from git_credential_relay.trace import Trace
from tests.fakes.configs import make_config

WITHOUT_KEYRING = """
import sys
sys.modules["keyring"] = None
from git_credential_relay.config import load
from git_credential_relay.relay.cache.choose import choose_cache
from git_credential_relay.trace import Trace
config = load({"GIT_CREDENTIAL_RELAY_CACHE": "keyring"}, files=[])
print(type(choose_cache(config, Trace(sys.stdout.write))).__name__)
"""


@pytest.mark.parametrize(
    ("name", "kind"), [("tmpfs", TmpfsCache), ("off", MemoryCache), ("keyring", KeyringCache)]
)
def test_the_configured_cache_is_the_one(name, kind):
    """Each name stands for its cache."""
    config = make_config(GIT_CREDENTIAL_RELAY_CACHE=name)

    assert type(choose_cache(config, Trace())) is kind


def test_a_keyring_that_is_not_installed_costs_no_get():
    """The usual cache takes its place, and the trace says so."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_KEYRING],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": os.environ["PATH"]},
    )

    assert "outcome=not the keyring reason=the keyring library is not installed" in done.stdout
    assert done.stdout.endswith("TmpfsCache\n")
