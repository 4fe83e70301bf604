"""Everything encrypted, whatever its table: for a change of the key."""

from __future__ import annotations

from sqlalchemy import Column, Connection, LargeBinary, Table, select, update

from git_credential_relay.broker.store.cipher import Cipher
from git_credential_relay.broker.store.tables import metadata


def check_key(connection: Connection, cipher: Cipher) -> None:
    """Raises StoreError (STORE_KEY_MISMATCH) where the first values found cannot be decrypted.

    Better at the start than at the first request.
    """
    for table in metadata.sorted_tables:
        for column in _encrypted(table):
            query = select(column).where(column.is_not(None)).limit(1)
            if (value := connection.execute(query).scalar()) is not None:
                cipher.decrypt(value)


def reencrypt(connection: Connection, cipher: Cipher) -> int:
    """Rewrite every encrypted value with the first key; how many there were."""
    return sum(_reencrypt_table(connection, cipher, table) for table in metadata.sorted_tables)


def _reencrypt_table(connection: Connection, cipher: Cipher, table: Table) -> int:
    columns = _encrypted(table)
    (key,) = table.primary_key.columns
    count = 0
    # Locked, or a change made meanwhile would be undone.
    rows = connection.execute(select(key, *columns).with_for_update()).all()
    for id, *values in rows:
        fresh = {
            column.name: cipher.encrypt(cipher.decrypt(value))
            for column, value in zip(columns, values, strict=True)
            if value is not None
        }
        if fresh:
            connection.execute(update(table).where(key == id).values(fresh))
        count += len(fresh)
    return count


def _encrypted(table: Table) -> list[Column[bytes]]:
    return [column for column in table.columns if isinstance(column.type, LargeBinary)]
