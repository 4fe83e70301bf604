"""An acquirer over a counting API, with a clock wound by hand."""

import pytest

from git_credential_relay.relay.acquire import Acquirer
from git_credential_relay.relay.cache.memory import MemoryCache
from git_credential_relay.relay.cache.tmpfs import TmpfsCache
from git_credential_relay.trace import Trace
from tests.fakes.configs import REPOSITORY, api_config
from tests.fakes.counting_api import Api
from tests.fakes.fake_clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def api(clock) -> Api:
    return Api(clock)


@pytest.fixture(params=["memory", "tmpfs"])
def cache(request, tmp_path):
    if request.param == "memory":
        return MemoryCache()
    return TmpfsCache([f"{tmp_path}/cache"], is_explicit=True)


@pytest.fixture
def acquirer(api, cache, clock):
    """A function that makes an acquirer as another process with the same cache would."""

    def make(config=None, kept=cache) -> Acquirer:
        no_fallback = {"GIT_CREDENTIAL_RELAY_FALLBACK": "off"}
        return Acquirer(config or api_config(**no_fallback), kept, api.fetch, clock.clock, Trace())

    return make


@pytest.fixture
def get(acquirer):
    """The token that one `get` of a new process gives."""

    def ask(target=REPOSITORY, refused=None, config=None):
        return acquirer(config).acquire(target, refused).password.reveal()

    return ask
