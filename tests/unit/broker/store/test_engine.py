"""Opening a database: which URLs, and what is said about the others."""

import subprocess
import sys

import pytest

from git_credential_relay.broker.config.load import parse_config
from git_credential_relay.broker.errors import StoreError
from git_credential_relay.broker.store.cipher import Cipher, new_key
from git_credential_relay.broker.store.engine import (
    find_sqlite_file,
    open_engine,
    resolve_database_url,
)
from git_credential_relay.broker.store.store import Store
from git_credential_relay.errors import ConfigError
from tests.fakes.servers import free_port


def config_of(directory, database):
    return parse_config(directory / "broker.toml", f"database = '{database}'")


def test_a_relative_path_counts_from_the_configuration(tmp_path):
    """The broker finds its database whatever directory it was started in."""
    config = config_of(tmp_path, "sqlite:///data/broker.db")

    assert find_sqlite_file(resolve_database_url(config)) == tmp_path / "data/broker.db"


def test_an_absolute_path_stays(tmp_path):
    """Four slashes name a file by its whole path."""
    config = config_of(tmp_path / "elsewhere", f"sqlite:///{tmp_path}/broker.db")

    assert find_sqlite_file(resolve_database_url(config)) == tmp_path / "broker.db"


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_postgresql_keeps_its_password(tmp_path, scheme):
    """The URL that is resolved still opens the database, whatever characters its password has."""
    url = resolve_database_url(config_of(tmp_path, f"{scheme}://me:p%40s%2Fs@db:5433/broker"))

    engine = open_engine(url)

    assert find_sqlite_file(url) is None
    assert engine.url.password == "p@s/s"
    assert (engine.url.host, engine.url.port, engine.url.database) == ("db", 5433, "broker")
    assert engine.dialect.driver == "psycopg"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "canary",
        "broker.db",
        "mysql://me:canary@db/broker",
        "postgresql+asyncpg://me:canary@db/broker",
        "postgresql://me:canary@db:port/broker",
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite:///file:canary?mode=memory&uri=true",
        "sqlite:///canary.db?cache=shared",
        "sqlite://canary/broker.db",
        "sqlite+aiosqlite:///broker.db",
    ],
)
def test_what_is_no_database_of_ours_is_refused(url):
    """The error shows the forms there are, and nothing of the URL."""
    with pytest.raises(ConfigError) as caught:
        open_engine(url)

    assert "sqlite:///" in str(caught.value.hint)
    assert "canary" not in f"{caught.value} {caught.value.hint} {caught.value.details}"
    assert caught.value.__cause__ is None


def test_a_missing_directory_is_a_clear_error(tmp_path):
    """A database that cannot be made is named, with the reason."""
    with pytest.raises(ConfigError, match=r"nowhere/broker\.db: No such file") as caught:
        open_engine(f"sqlite:///{tmp_path}/nowhere/broker.db")

    assert caught.value.hint


def test_a_missing_driver_names_the_extra():
    """Without psycopg the answer is what to install, not a traceback."""
    program = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from git_credential_relay.broker.store.engine import open_engine\n"
        "from git_credential_relay.errors import MissingExtraError\n"
        "try: open_engine('postgresql://me:canary@db/broker')\n"
        "except MissingExtraError as error: print(error, error.hint)\n"
    )

    end = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert "git-credential-relay[broker,replicas]" in end.stdout
    assert "canary" not in end.stdout


def test_a_server_that_is_away_is_a_clear_error():
    """What is wrong is said, without the URL and its password."""
    url = f"postgresql://me:canary@127.0.0.1:{free_port()}/broker"

    with pytest.raises(StoreError) as caught:
        Store.open(url, Cipher([new_key()]))

    assert caught.value.message == "the database cannot be used: connection refused"
    assert "canary" not in f"{caught.value!r} {caught.value.hint} {caught.value.__cause__}"
