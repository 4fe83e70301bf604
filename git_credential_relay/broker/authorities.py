"""Whom the broker trusts to be who they say, when it connects to forges, issuers and brokers."""

from __future__ import annotations

import os
import ssl

import httpx2

from git_credential_relay.errors import ConfigError


def client_context(url: str, ca_file: str | os.PathLike[str] | None) -> ssl.SSLContext:
    """The context for connections to `url`: the system's authorities, and those in `ca_file`.

    Raises ConfigError where they cannot be read.
    """
    if url.startswith("http://"):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # unused; loading authorities is slow
    try:
        context = httpx2.create_ssl_context()
        if ca_file:
            context.load_verify_locations(ca_file)
    except OSError as error:
        raise ConfigError(
            f"the certificate authorities cannot be read: {error.strerror or error}",
            hint="check ca_file and SSL_CERT_FILE",
        ) from error
    return context
