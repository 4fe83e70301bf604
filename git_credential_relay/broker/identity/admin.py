"""Who may manage workspaces: a person or platform with the admin secret, or an admin workload."""

from __future__ import annotations

import os
from collections.abc import Callable

from git_credential_relay.broker.config.load import BrokerConfig, accepted_secrets
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

    Who was taken out of the configuration is nobody from the next request on: `look` is called
    before each, and has `take` called where the file was edited. Secret files are read again
    whenever they change. `now` gives Unix seconds. Raises ConfigError for a model that cannot
    work.
    """

    def __init__(
        self,
        config: BrokerConfig,
        verifier: Verifier,
        now: Callable[[], float],
        look: Callable[[], object] = lambda: None,
    ) -> None:
        self._verifier = verifier
        self._now = now
        self._look_for_edits = look
        self.take(config)

    def take(self, config: BrokerConfig) -> None:
        """Go by this configuration from now on. Raises ConfigError, and then nothing changes."""
        model = config.model.admin
        rules = tuple(compile_identity(identity) for identity in model.identity) if model else ()
        known = {issuer.url for issuer in config.model.issuer}
        for rule in rules:
            if rule.issuer not in known:
                raise ConfigError(f"[admin]: no [[issuer]] has the url {rule.issuer}")
        seen, secrets = _look(config), _read_secrets(config)
        if model is not None and not (secrets or rules):
            raise ConfigError(
                "[admin] lets nobody in", hint="secret_file, secret_sha256 or [[admin.identity]]"
            )
        self._model, self._config, self._rules = model, config, rules
        self._seen, self._secrets = seen, secrets

    async def identify(self, unverified_bearer: str | None) -> Caller:
        """The administrator who asks. Raises AdminUnknownError and IssuerUnavailableError."""
        self._look_for_edits()
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
        seen = _look(self._config)
        if seen == self._seen:
            return None
        try:
            self._secrets = _read_secrets(self._config)
        except ConfigError as error:
            # Not the old ones: they may have been taken away because somebody else has them.
            self._secrets = ()
            return error.message
        self._seen = seen
        return None


def _read_secrets(config: BrokerConfig) -> tuple[AcceptedSecret, ...]:
    model = config.model.admin
    if model is None:
        return ()
    return accepted_secrets(config.path.parent, model.secret_file, model.secret_sha256)


def _look(config: BrokerConfig) -> list[tuple[int, int, int] | None]:
    files = config.model.admin.secret_file if config.model.admin else None
    return [_stat(config, file) for file in ([files] if isinstance(files, str) else files or [])]


def _stat(config: BrokerConfig, file: str) -> tuple[int, int, int] | None:
    try:
        info = os.stat(config.resolve(file))
    except OSError:
        return None
    return info.st_ino, info.st_mtime_ns, info.st_size
