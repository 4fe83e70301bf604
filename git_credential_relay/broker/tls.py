"""The broker's own certificate, which can be renewed while it runs."""

from __future__ import annotations

import ssl
from pathlib import Path

from git_credential_relay.broker.config.load import BrokerConfig
from git_credential_relay.errors import ConfigError


class Tls:
    """A certificate and its key. Raises ConfigError where they cannot be used."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._certificate = certificate
        self._key = key
        self.context = self._load(ssl.create_default_context(ssl.Purpose.CLIENT_AUTH))

    def reload(self) -> None:
        """Use what is in the files now, for connections from now on. Raises ConfigError.

        Files that do not belong together leave what there is.
        """
        self._load(ssl.create_default_context(ssl.Purpose.CLIENT_AUTH))
        self._load(self.context)

    def _load(self, context: ssl.SSLContext) -> ssl.SSLContext:
        try:
            # Without an answer at hand OpenSSL would ask the terminal for a passphrase.
            context.load_cert_chain(self._certificate, self._key, password=lambda: "")
        except OSError as error:
            raise ConfigError(
                f"tls_certificate_file {self._certificate} and tls_key_file {self._key} cannot be"
                f" used: {_cause(error)}",
                hint="PEM files: the certificate with its chain, and its key without passphrase",
            ) from error
        return context


def find_tls(config: BrokerConfig) -> Tls | None:
    """The certificate that the configuration names; None where there is none."""
    certificate, key = config.model.tls_certificate_file, config.model.tls_key_file
    if certificate is None or key is None:
        return None
    return Tls(config.resolve(certificate), config.resolve(key))


def _cause(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "not PEM").replace("_", " ").lower()
    return error.strerror or type(error).__name__
