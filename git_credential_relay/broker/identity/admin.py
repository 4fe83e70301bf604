"""Who may manage workspaces: a person or platform with the admin secret, or an admin workload."""

from __future__ import annotations

import os
from collections.abc import Callable

from git_credential_relay.broker.config.load import BrokerConfig, accepted_secrets
from git_credential_relay.broker.config.model import AdminModel
from git_credential_relay.broker.errors import AdminUnknownError, CallerUnknownError
from git_credential_relay.broker.identity.caller import Caller, identity_caller
from git_credential_relay.broker.identity.identify import Verifier, looks_like_jwt
from git_credential_relay.broker.identity.rules import compile_identity
from git_credential_relay.broker.identity.secrets import matches_any
from git_credential_relay.broker.workspace import AcceptedSecret
from git_credential_relay.errors import ConfigError
from git_credential_relay.secret import printable

ADMIN = "admin"


class AdminGate:
    """Tells administrators from everybody else. Without a model nobody is one.

    Secret files are read again whenever they change, so that a secret is rotated without a
    restart. `now` gives Unix seconds. Raises ConfigError for a model that cannot work.
    """

    def __init__(
        self,
        model: AdminModel | None,
        config: BrokerConfig,
        verifier: Verifier,
        now: Callable[[], float],
    ) -> None:
        self._model = model
        self._config = config
        self._verifier = verifier
        self._now = now
        self._rules = (
            tuple(compile_identity(identity) for identity in model.identity) if model else ()
        )
        known = {issuer.url for issuer in config.model.issuer}
        for rule in self._rules:
            if rule.issuer not in known:
                raise ConfigError(f"[admin]: no [[issuer]] has the url {rule.issuer}")
        self._seen = self._look()
        self._secrets = self._read_secrets()
        if model is not None and not (self._secrets or self._rules):
            raise ConfigError(
                "[admin] lets nobody in", hint="secret_file, secret_sha256 or [[admin.identity]]"
            )

    async def identify(self, unverified_bearer: str | None) -> Caller:
        """The administrator who asks. Raises AdminUnknownError and IssuerUnavailableError."""
        if self._model is None:
            raise AdminUnknownError("the configuration has no [admin]")
        if not unverified_bearer:
            raise AdminUnknownError("no bearer token was sent")
        trouble = self._reload()
        if matches_any(self._secrets, unverified_bearer, self._now()):
            return Caller("secret", ADMIN)
        if looks_like_jwt(unverified_bearer):
            return await self._identify_workload(unverified_bearer)
        raise AdminUnknownError(trouble or "the secret is none of [admin]")

    async def _identify_workload(self, unverified_token: str) -> Caller:
        try:
            claims = await self._verifier.verify(unverified_token)
        except CallerUnknownError as error:
            raise AdminUnknownError(error.reason or "") from error
        if any(rule.matches(claims) for rule in self._rules):
            return identity_caller(claims)
        subject = printable(f"{claims['sub']} of {claims['iss']}", 300)
        raise AdminUnknownError(f"no identity of [admin] means {subject}")

    def _reload(self) -> str | None:
        """Read the secrets again if their files are others now; what is wrong with them."""
        seen = self._look()
        if seen == self._seen:
            return None
        try:
            self._secrets = self._read_secrets()
        except ConfigError as error:
            # Not the old ones: they may have been taken away because somebody else has them.
            self._secrets = ()
            return error.message
        self._seen = seen
        return None

    def _read_secrets(self) -> tuple[AcceptedSecret, ...]:
        if self._model is None:
            return ()
        return accepted_secrets(
            self._config.path.parent, self._model.secret_file, self._model.secret_sha256
        )

    def _look(self) -> list[tuple[int, int, int] | None]:
        files = self._model.secret_file if self._model else None
        return [self._stat(file) for file in ([files] if isinstance(files, str) else files or [])]

    def _stat(self, file: str) -> tuple[int, int, int] | None:
        try:
            info = os.stat(self._config.resolve(file))
        except OSError:
            return None
        return info.st_ino, info.st_mtime_ns, info.st_size
