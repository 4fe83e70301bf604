"""Workspaces that the file declares, with their secrets as the secret files say them now."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace

from git_credential_relay.broker.config.load import BrokerConfig, accepted_secrets
from git_credential_relay.broker.config.model import WorkspaceModel
from git_credential_relay.broker.config.watch import ConfigWatch, FileWatch
from git_credential_relay.broker.workspace import Workspace
from git_credential_relay.errors import ConfigError

_log = logging.getLogger(__name__)


class DeclaredWorkspaces:
    """Finds the file's workspaces; never awaits, and costs a `stat` for each file involved."""

    def __init__(self, watch: ConfigWatch, clock: Callable[[], float] = time.monotonic) -> None:
        self._watch = watch
        self._clock = clock
        self._config: BrokerConfig | None = None
        self._models: dict[str, WorkspaceModel] = {}
        self._kept: dict[str, _WithSecrets] = {}

    def find(self, workspace_id: str) -> Workspace | None:
        """The workspace as file and secret files have it now."""
        config = self._current()
        declared = config.workspaces.get(workspace_id)
        if declared is None:
            return None
        kept = self._kept.get(workspace_id)
        if kept is None:
            model = self._models[workspace_id]
            kept = self._kept[workspace_id] = _WithSecrets(config, model, declared, self._clock)
        return kept.current()

    def models(self) -> dict[str, WorkspaceModel]:
        """What the file says of each workspace, by id."""
        self._current()
        return self._models

    @property
    def trouble(self) -> str | None:
        """Which secret file cannot be used, so that an older state of it counts."""
        for kept in self._kept.values():
            if kept.trouble:
                kept.current()
                if kept.trouble:
                    return kept.trouble
        return None

    def _current(self) -> BrokerConfig:
        config = self._watch.current()
        if config is not self._config:
            self._config = config
            self._models = {model.id: model for model in config.model.workspace}
            self._kept = {}
        return config


class _WithSecrets:
    """One workspace and the files of its secrets; a broken one leaves the last good state."""

    def __init__(
        self,
        config: BrokerConfig,
        model: WorkspaceModel,
        workspace: Workspace,
        clock: Callable[[], float],
    ) -> None:
        self._directory = config.path.parent
        self._model = model
        self._workspace = workspace
        references = model.secret_file or []
        names = [references] if isinstance(references, str) else references
        self._files = [
            FileWatch(config.resolve(name), clock) for name in names if not name.startswith("env:")
        ]
        self.trouble: str | None = None

    def current(self) -> Workspace:
        # Each of them is asked: one answer must not hide the change of another file.
        if [file for file in self._files if file.is_changed()]:
            self._read()
        return self._workspace

    def _read(self) -> None:
        try:
            secrets = accepted_secrets(
                self._directory, self._model.secret_file, self._model.secret_sha256
            )
        except ConfigError as error:
            message = f"workspace {self._model.id}: {error.message}"
            if self.trouble != message:
                _log.error("the secret stays as it was: %s", message)
            self.trouble = message
            return
        self.trouble = None
        if secrets != self._workspace.secrets:
            self._workspace = replace(self._workspace, secrets=secrets)
