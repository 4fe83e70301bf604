"""Which of the GitLab sources a configuration means."""

from __future__ import annotations

from git_credential_relay.broker.config.load import BrokerConfig, ForgeEntry
from git_credential_relay.broker.config.model import GitLabModel, OAuthModel
from git_credential_relay.broker.sources.gitlab.access_tokens import AccessTokenSource
from git_credential_relay.broker.sources.gitlab.api import GitLabApi, client_of
from git_credential_relay.broker.sources.gitlab.cleanup import Cleanup
from git_credential_relay.broker.sources.gitlab.oauth import OAuthSource
from git_credential_relay.broker.sources.gitlab.refresher import OAuthClient
from git_credential_relay.broker.sources.gitlab.static import StaticTokenSource
from git_credential_relay.broker.sources.hooks import SourceHooks
from git_credential_relay.broker.sources.interface import TokenSource
from git_credential_relay.broker.sources.secret_file import secret_reader
from git_credential_relay.broker.store.store import Store
from git_credential_relay.errors import ConfigError


def gitlab_source(
    entry: ForgeEntry, config: BrokerConfig, store: Store | None, hooks: SourceHooks
) -> TokenSource:
    """The source for a `[[forge]]` of kind gitlab. Raises ConfigError."""
    model = entry.model
    assert isinstance(model, GitLabModel)  # noqa: S101 - for the type checker
    if model.oauth is not None:
        return _oauth_source(entry, config, model.oauth, store, hooks)
    assert model.token_file is not None  # noqa: S101 - the loader has checked it
    read_token = secret_reader(config, model.token_file)
    client = client_of(entry, config, hooks)
    api = GitLabApi(client, read_token)
    if model.mode == "static":
        return StaticTokenSource(entry, client, api, read_token, hooks)
    cleanup = Cleanup(api, entry.name, store, hooks.now)
    return AccessTokenSource(entry, model, client, api, cleanup, hooks)


def _oauth_source(
    entry: ForgeEntry,
    config: BrokerConfig,
    model: OAuthModel,
    store: Store | None,
    hooks: SourceHooks,
) -> OAuthSource:
    if store is None:
        # A refresh whose outcome is kept nowhere would end the pair for good.
        raise ConfigError(f"the forge {entry.name} needs the database for its OAuth pair")
    secret_file = model.client_secret_file
    read_secret = None if secret_file is None else secret_reader(config, secret_file)
    oauth = OAuthClient(entry, config, model, store.url, read_secret)
    return OAuthSource(oauth, client_of(entry, config, hooks), store, hooks)
