"""Where the admin API is, and what proves to it that we may."""

from __future__ import annotations

import os
from pathlib import Path

import click

from git_credential_relay.broker.admin_client import AdminClient
from git_credential_relay.cli.app import configuration
from git_credential_relay.cli.broker.options import broker_extra
from git_credential_relay.env_file import read_text
from git_credential_relay.errors import ConfigError
from git_credential_relay.secret import Secret

DEFAULT_CONFIG = Path("broker.toml")
DEFAULT_URL = "http://127.0.0.1:8750"
SECRET_VARIABLE = "BROKER_ADMIN_SECRET"  # noqa: S105 - a name
_ANY = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}  # noqa: S104 - read, not bound


def connect(
    ctx: click.Context, url: str | None, secret_file: str | None, config_path: Path | None
) -> AdminClient:
    """The client for what the options and the environment name. Raises ConfigError."""
    relay = configuration(ctx)
    path = config_path or (DEFAULT_CONFIG if DEFAULT_CONFIG.exists() else None)
    secret = _secret(secret_file, path)
    return AdminClient(
        url or _url(path), secret, allow_http=relay.allow_http, ca_file=relay.ca_file
    )


def read_file(path: str, option: str) -> Secret:
    """The secret in a file that an option names. Raises ConfigError."""
    text = read_text(path, option).strip()
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise ConfigError(f"{option}: {path} is not one word of plain text")
    return Secret(text)


def _secret(file: str | None, config_path: Path | None) -> Secret:
    if file is not None:
        return read_file(file, "--admin-secret-file")
    value = os.environ.get(SECRET_VARIABLE, "").strip()
    if value:
        if not value.isascii() or not value.isprintable() or " " in value:
            raise ConfigError(f"{SECRET_VARIABLE}: the secret is not one word of plain text")
        return Secret(value)
    if config_path is not None:
        with broker_extra():
            from git_credential_relay.broker.config.load import load_config
        config = load_config(config_path)
        admin = config.model.admin
        files = admin.secret_file if admin else None
        if files:
            return config.read_secret(files if isinstance(files, str) else files[0])
    raise ConfigError(
        "there is no admin secret to show to the broker",
        code="not-set",
        hint=f"give --admin-secret-file or {SECRET_VARIABLE}, or [admin] secret_file in --config",
    )


def _url(config_path: Path | None) -> str:
    if config_path is None:
        return DEFAULT_URL
    with broker_extra():
        from git_credential_relay.broker.config.load import load_config, split_listen
    model = load_config(config_path).model
    host, port = split_listen(model.listen)
    host = _ANY.get(host, f"[{host}]" if ":" in host else host)
    return f"{'https' if model.tls_certificate_file else 'http'}://{host}:{port}"
