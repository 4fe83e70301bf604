"""Which requests share their connections."""

import asyncio
import os

import pytest

from git_credential_relay.errors import ConfigError
from git_credential_relay.relay.sidecar.api_proxy.pools import MAX_POOLS, Pools
from tests.fakes.configs import make_config
from tests.fakes.upstream import running_upstream, says

URL = "https://api.github.com/"


async def transport_of(pools, config, url=URL):
    """The transport for `url`, which is free again."""
    async with pools.use(config, url) as transport:
        return transport


def test_one_way_has_one_pool():
    """The same authorities and proxy, in however many configurations."""

    async def run():
        pools = Pools()
        plain = await transport_of(pools, make_config())
        assert await transport_of(pools, make_config(WORKSPACE_ID="other")) is plain
        assert await transport_of(pools, make_config(HTTPS_PROXY="http://p:1")) is not plain
        assert await transport_of(pools, make_config(), "http://127.0.0.1/") is not plain
        await pools.close()

    asyncio.run(run())


def test_new_authorities_count_at_once(tmp_path):
    """When the file changes, connections that the old ones vouched for are not used again."""
    with running_upstream(lambda seen: says({}), tmp_path) as upstream:
        config = make_config(GIT_CREDENTIAL_RELAY_CA_FILE=upstream.ca_file)

    async def run():
        pools = Pools()
        before = await transport_of(pools, config)
        assert await transport_of(pools, config) is before
        os.utime(upstream.ca_file, ns=(1, 1))
        assert await transport_of(pools, config) is not before
        await pools.close()

    asyncio.run(run())


def test_authorities_that_cannot_be_read(tmp_path):
    """It is told which setting names them."""
    config = make_config(GIT_CREDENTIAL_RELAY_CA_FILE=str(tmp_path / "absent.pem"))

    with pytest.raises(ConfigError, match="authorities cannot be read"):
        asyncio.run(transport_of(Pools(), config))


def test_former_ways_are_given_up():
    """But not while a request is using one."""

    async def run():
        pools = Pools()
        url = "http://ghe.example/"
        first, idle = (make_config(HTTP_PROXY=f"http://{name}:1") for name in ("a", "b"))
        async with pools.use(first, url) as used:
            unused = await transport_of(pools, idle, url)
            for number in range(MAX_POOLS):
                await transport_of(pools, make_config(HTTP_PROXY=f"http://p{number}:1"), url)
            assert await transport_of(pools, first, url) is used
            assert await transport_of(pools, idle, url) is not unused
        await pools.close()

    asyncio.run(run())
