"""The tables, as the newest migration leaves them. Times are Unix seconds.

Columns of LargeBinary hold what Cipher made; everything else may be read by whoever reads the
database. A change here needs a new file in migrations/versions.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, LargeBinary, MetaData, String, Table, Text

MAX_ID = 128  # characters of a workspace's id

metadata = MetaData()

workspaces = Table(
    "workspaces",
    metadata,
    Column("id", String(MAX_ID), primary_key=True),
    # Of no meaning but for being another one after each change, even if deleted in between.
    Column("revision", BigInteger, nullable=False),
    Column("document", LargeBinary, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)

leases = Table(
    "leases",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("workspace_id", String(MAX_ID), nullable=False),
    Column("source", String(256), nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("location", Text, nullable=False),
    Column("handle", Text, nullable=False),
    Column("token", LargeBinary, nullable=True),
    Column("token_sha256", String(64), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Index("leases_by_workspace", "workspace_id"),
    Index("leases_by_expiry", "expires_at"),
)

oauth_pairs = Table(
    "oauth_pairs",
    metadata,
    Column("name", String(256), primary_key=True),
    Column("access_token", LargeBinary, nullable=False),
    Column("refresh_token", LargeBinary, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("seed_sha256", String(64), nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("locked_by", String(256), nullable=True),
    Column("locked_until", BigInteger, nullable=True),
)
