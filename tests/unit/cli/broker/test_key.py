"""`broker key`: a new key, and everything encrypted with it."""

from __future__ import annotations

import asyncio

import pytest

from git_credential_relay.broker.config.load import load_config
from git_credential_relay.broker.store.cipher import Cipher, load_cipher
from git_credential_relay.broker.store.engine import resolve_database_url
from git_credential_relay.broker.store.store import Store
from git_credential_relay.errors import RelayError
from git_credential_relay.main import main


def new_key(capsys) -> str:
    assert main(["broker", "key", "new"]) == 0
    return str(capsys.readouterr().out.strip())


def find_document(path, cipher: Cipher) -> bytes | None:
    store = Store.open(resolve_database_url(load_config(path)), cipher)
    try:
        record = asyncio.run(store.find_workspace("w1"))
    finally:
        store.close()
    return None if record is None else record.document


def test_a_key_is_changed_as_its_help_says(tmp_path, capsys):
    """New key in front, rotate, old key away: what was stored is there, and the old key alone
    opens nothing any more."""
    old, new = new_key(capsys), new_key(capsys)
    keys = tmp_path / "keys"
    keys.write_text(f"{old}\n")
    keys.chmod(0o600)
    path = tmp_path / "broker.toml"
    path.write_text('encryption_key_file = "keys"\n')
    config = load_config(path)
    store = Store.open(resolve_database_url(config), load_cipher(config))
    asyncio.run(store.add_workspace("w1", b"document"))
    store.close()

    keys.write_text(f"{new}\n{old}\n")
    assert main(["broker", "key", "rotate", "--config", str(path)]) == 0
    out = capsys.readouterr().out
    assert out.endswith("values are encrypted with the first key now\n")
    assert int(out.split()[0]) >= 1
    keys.write_text(f"{new}\n")

    assert find_document(path, load_cipher(config)) == b"document"
    with pytest.raises(RelayError):
        find_document(path, Cipher([old]))


def test_a_configuration_that_is_wrong_is_said(tmp_path, capsys):
    """One line, exit code 2."""
    (tmp_path / "broker.toml").write_text("listen = 5\n")

    assert main(["broker", "key", "rotate", "--config", str(tmp_path / "broker.toml")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
