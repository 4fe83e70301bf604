"""Encryption of what is stored, and where its keys come from."""

import multiprocessing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from git_credential_relay.broker.config.load import parse_config
from git_credential_relay.broker.errors import StoreError
from git_credential_relay.broker.store.cipher import Cipher, load_cipher, new_key
from git_credential_relay.errors import ConfigError

OLD, NEW = new_key(), new_key()


def config_of(directory: Path, text: str = ""):
    return parse_config(directory / "broker.toml", text)


@given(st.binary(max_size=4096))
def test_what_is_encrypted_comes_back(value):
    """Any bytes survive, and none of them are seen."""
    cipher = Cipher([NEW])

    sealed = cipher.encrypt(value)

    assert cipher.decrypt(sealed) == value
    assert len(value) < 8 or value not in sealed


def test_the_first_key_encrypts_and_all_decrypt():
    """While keys change, values of the old one are read, and new ones do not need it."""
    both = Cipher([NEW, OLD])

    assert both.decrypt(Cipher([OLD]).encrypt(b"value")) == b"value"
    assert Cipher([NEW]).decrypt(both.encrypt(b"value")) == b"value"


@pytest.mark.parametrize(
    "value",
    [Cipher([OLD]).encrypt(b"value"), b"", b"garbage", b"\0" * 200],
    ids=["another key's", "empty", "garbage", "zeros"],
)
def test_what_was_not_encrypted_with_a_key_is_refused(value):
    """A value of another key, or damaged, is an error that says which keys are meant."""
    with pytest.raises(StoreError) as caught:
        Cipher([NEW]).decrypt(value)

    assert (caught.value.code, caught.value.retryable) == ("STORE_KEY_MISMATCH", False)
    assert "encryption_key_file" in str(caught.value.hint)


@given(st.data())
def test_a_changed_value_never_says_something_else(data):
    """Nobody who can write the database can change what a value says."""
    sealed = bytearray(Cipher([NEW]).encrypt(b"value"))
    sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= data.draw(st.integers(1, 127))

    try:
        value = Cipher([NEW]).decrypt(bytes(sealed))
    except StoreError:
        return
    assert value == b"value"  # base64 has bits that mean nothing


@pytest.mark.parametrize("key", ["canary", "canary" * 8, "canärykey", "A" * 42 + "="])
def test_a_bad_key_is_not_shown(key):
    """The error about a key says what a key is, and nothing of this one."""
    with pytest.raises(ConfigError) as caught:
        Cipher([key])

    assert "32 bytes" in caught.value.message
    assert key not in f"{caught.value!r} {caught.value.hint}"
    assert caught.value.__suppress_context__


def test_digests_need_the_key():
    """A digest is the same for all brokers with the key, and another one without it."""
    assert Cipher([NEW]).digest(b"name") == Cipher([NEW, OLD]).digest(b"name")
    assert Cipher([NEW]).digest(b"name") != Cipher([OLD]).digest(b"name")
    assert len(Cipher([NEW]).digest(b"name")) == 32


def test_sqlite_gets_a_key_of_its_own(tmp_path):
    """Without a setting, the first start makes a key beside the database, for the broker alone."""
    sealed = load_cipher(config_of(tmp_path)).encrypt(b"value")

    assert (tmp_path / "broker.key").stat().st_mode & 0o777 == 0o600
    assert load_cipher(config_of(tmp_path)).decrypt(sealed) == b"value"
    assert [path.name for path in tmp_path.glob("*broker.key*")] == ["broker.key"]


def test_the_key_lies_beside_the_database(tmp_path):
    """Wherever the database is: a backup of its directory has both."""
    (tmp_path / "data").mkdir()

    load_cipher(config_of(tmp_path, 'database = "sqlite:///data/broker.db"'))

    assert (tmp_path / "data" / "broker.key").exists()


def test_brokers_that_start_at_once_have_one_key(tmp_path):
    """Of several first starts at the same moment one makes the key, and all use it."""
    workers = 4
    context = multiprocessing.get_context("fork")
    barrier, answers = context.Barrier(workers), context.Queue()
    processes = [
        context.Process(target=_digest_at_once, args=(tmp_path, barrier, answers))
        for _ in range(workers)
    ]
    for process in processes:
        process.start()
    digests = {answers.get(timeout=20) for _ in processes}
    for process in processes:
        process.join()
    answers.close()
    answers.join_thread()

    assert len(digests) == 1


def _digest_at_once(directory, barrier, answers):
    config = config_of(directory)
    barrier.wait(20)
    answers.put(load_cipher(config).digest(b""))


def test_a_lost_key_is_not_replaced(tmp_path):
    """Where there is a database without its key, a new key would hide the loss."""
    (tmp_path / "broker.db").write_bytes(b"content")

    with pytest.raises(ConfigError) as caught:
        load_cipher(config_of(tmp_path))

    assert caught.value.code == "encryption-key-missing"
    assert not (tmp_path / "broker.key").exists()


def test_postgresql_needs_a_key_to_be_named(tmp_path):
    """Replicas that each made a key could not read each other's values."""
    with pytest.raises(ConfigError) as caught:
        load_cipher(config_of(tmp_path, 'database = "postgresql://u:canary@db/broker"'))

    assert caught.value.code == "encryption-key-missing"
    assert "canary" not in f"{caught.value} {caught.value.hint}"


def test_a_key_file_holds_one_key_per_line(tmp_path):
    """The first line encrypts, the others decrypt; blank lines and comments are none."""
    path = tmp_path / "keys"
    path.write_text(f"# since May\n{NEW}\n\n  {OLD}\n")
    path.chmod(0o640)

    cipher = load_cipher(config_of(tmp_path, 'encryption_key_file = "keys"'))

    assert cipher.decrypt(Cipher([OLD]).encrypt(b"value")) == b"value"
    assert Cipher([NEW]).decrypt(cipher.encrypt(b"value")) == b"value"


def test_a_key_may_come_from_a_variable(tmp_path, monkeypatch):
    """`env:NAME` takes the keys out of the environment."""
    monkeypatch.setenv("BROKER_KEYS", f"{NEW}\n{OLD}")

    cipher = load_cipher(config_of(tmp_path, 'encryption_key_file = "env:BROKER_KEYS"'))

    assert Cipher([NEW]).decrypt(cipher.encrypt(b"value")) == b"value"


@pytest.mark.parametrize("text", ["", "encryption_key_file = 'broker.key'"])
def test_a_key_that_everybody_can_read_is_refused(tmp_path, text):
    """Whoever named it: it decrypts every token, and the answer says how to close it."""
    path = tmp_path / "broker.key"
    path.write_text(NEW)
    path.chmod(0o644)

    with pytest.raises(ConfigError) as caught:
        load_cipher(config_of(tmp_path, text))

    assert caught.value.code == "encryption-key-public"
    assert caught.value.hint == f"chmod o-r {path}"


@pytest.mark.parametrize("content", ["", "\n", "# nothing\n"])
def test_a_key_file_without_a_key_is_refused(tmp_path, content):
    """An empty file is no reason to store anything in the clear."""
    path = tmp_path / "keys"
    path.write_text(content)
    path.chmod(0o600)

    with pytest.raises(ConfigError):
        load_cipher(config_of(tmp_path, 'encryption_key_file = "keys"'))


def test_a_missing_directory_is_a_clear_error(tmp_path):
    """A database in a directory that is not there names the file that cannot be made."""
    with pytest.raises(ConfigError, match=r"cannot make .*broker\.key: No such file"):
        load_cipher(config_of(tmp_path, 'database = "sqlite:///nowhere/broker.db"'))
