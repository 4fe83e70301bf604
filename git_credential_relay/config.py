"""Configuration: flags, environment and `relay.env` files become one checked Config.

Precedence: flag > environment > /run/git-credential-relay/relay.env >
/etc/git-credential-relay/relay.env > the user's own relay.env > default. The files hold the
environment's own names, one `NAME=value` a line, so SETTINGS documents all of them. Everything
is checked without a network. Nothing else reads a setting from os.environ. On the warm path.
"""

from __future__ import annotations

import os

from git_credential_relay.config_layers import (
    ABSENT,
    BY_NAME,
    Value,
    environment_layer,
    file_layer,
    flag_layer,
    merge,
)
from git_credential_relay.credential.forge import FORGEJO, GITHUB, GITLAB, KINDS, Forge
from git_credential_relay.credential.url import is_loopback, split_url
from git_credential_relay.env_file import read_text
from git_credential_relay.errors import ConfigError, ProtocolError
from git_credential_relay.secret import Secret
from git_credential_relay.settings import FALLBACK_SOURCES, PREFIX, SETTINGS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Final

SYSTEM_FILES = (
    "/run/git-credential-relay/relay.env",
    "/etc/git-credential-relay/relay.env",
)
OFF = frozenset(("", "0", "false", "no", "off"))
TOKEN_FIELDS = ("userToken", "token", "installationToken")


class SecretSource:
    """A secret given as a value or as a file; the file is read anew at each use, so that a
    rotated secret reaches processes that already run."""

    __slots__ = ("_path", "_value", "name", "origin")

    def __init__(self, name: str, value: Value | None, path: Value | None) -> None:
        self.name: Final = name
        self._value: Final = value
        self._path: Final = path
        given = value or path
        self.origin: Final = given.origin if given else "not set"

    def is_set(self) -> bool:
        """Whether a value or a file is configured; the file may still turn out unreadable."""
        return self._value is not None or self._path is not None

    def read(self) -> Secret | None:
        """The secret, or None when absent. Raises ConfigError when its file cannot be read."""
        if self._value is not None:
            text = self._value.text.strip()
        elif self._path is not None:
            text = read_text(self._path.text, self.origin).strip()
        else:
            return None
        if text in ABSENT:
            return None
        if not (text.isascii() and text.isprintable()) or " " in text:
            # It becomes one HTTP header or one line of git's format.
            raise ConfigError(f"{self.origin}: the secret is not one word of plain text")
        return Secret(text)


class Config:
    """Everything configured, checked and frozen (mypy refuses to assign to it).

    Durations are seconds. `forges` are the hosts we may answer for, named ones first;
    `fallback` are the local sources to try, in order.
    """

    def __init__(self, values: Mapping[str, Value], environ: Mapping[str, str]) -> None:
        self._values: Final = values
        for setting in SETTINGS:
            if setting.is_secret:
                self.path(setting.name + "_FILE")
        self.environ: Final = environ
        self.allow_http: Final = self._switch("GIT_CREDENTIAL_RELAY_ALLOW_HTTP")
        self.api_url: Final = self._api_url()
        self.api_path: Final = self._api_path()
        self.api_method: Final = self._choice("GIT_CREDENTIAL_RELAY_API_METHOD", ("GET", "POST"))
        self.workspace_id: Final = self._word("WORKSPACE_ID")
        self.workspace_token: Final = self.secret("WORKSPACE_TOKEN")
        self.use_keyring: Final = self._switch("GIT_CREDENTIAL_RELAY_KEYRING")
        self.deadline: Final = self._seconds("GIT_CREDENTIAL_RELAY_DEADLINE", smallest=1)
        self.min_lifetime: Final = self._seconds("GIT_CREDENTIAL_RELAY_MIN_LIFETIME", smallest=0)
        self.cache: Final = self._choice("GIT_CREDENTIAL_RELAY_CACHE", ("tmpfs", "keyring", "off"))
        self.cache_dirs: Final = self._cache_dirs()
        self.fail_closed: Final = self._switch("GIT_CREDENTIAL_RELAY_FAIL_CLOSED")
        self.socket: Final = self.path("GIT_CREDENTIAL_RELAY_SOCKET")
        self.ca_file: Final = self.path("GIT_CREDENTIAL_RELAY_CA_FILE")
        # Whatever else it says, it asks for more words; it must never cost an answer.
        self.debug: Final = (self._text("GIT_CREDENTIAL_DEBUG") or "").lower() not in OFF
        self.gitlab: Final = self._first_forge(GITLAB, "GITLAB_INSTANCE_URL", "GITLAB_HOST")
        self.forgejo: Final = self._first_forge(FORGEJO, "FORGE_URL")
        self.forges: Final = self._forges()
        self.fallback: Final = self._list("GIT_CREDENTIAL_RELAY_FALLBACK", FALLBACK_SOURCES)
        self._token_fields: Final = {
            "git": self._list("GIT_CREDENTIAL_RELAY_TOKEN_FIELDS_GIT", TOKEN_FIELDS),
            "api": self._list("GIT_CREDENTIAL_RELAY_TOKEN_FIELDS_API", TOKEN_FIELDS),
        }

    def value(self, name: str) -> Value | None:
        """The configured value of a setting with its origin; None when it is at its default."""
        return self._values.get(name)

    def secret(self, name: str) -> SecretSource:
        """The secret called `name`, as a value or as `<name>_FILE`."""
        return SecretSource(name, self._values.get(name), self._values.get(name + "_FILE"))

    def token_fields(self, use: str) -> list[str]:
        """Which fields of an answer to prefer for `use` (git or api), first one first."""
        return self._token_fields[use]

    def api_source(self, use: str) -> str:
        """The API with everything that decides what of its answers is used: cached answers of
        one such source are nothing to another."""
        # At their defaults they are left out, which keeps the names of cache files short.
        names = (PREFIX + "API_PATH", f"{PREFIX}TOKEN_FIELDS_{use.upper()}")
        changed = [self._values[name].text for name in names if name in self._values]
        return " ".join([self.api_url or "", *changed])

    def missing_api_setting(self) -> str | None:
        """The first of the three settings the relay API needs that is not there."""
        if not self.api_url:
            return "CLOUD_API_URL"
        if not self.workspace_id:
            return "WORKSPACE_ID"
        if not self.workspace_token.is_set() and not self.use_keyring:
            return "WORKSPACE_TOKEN"
        return None

    def _text(self, name: str) -> str | None:
        value = self._values.get(name)
        return value.text if value else BY_NAME[name].default

    def _word(self, name: str) -> str | None:
        text = self._text(name)
        if text is not None and not (text.isprintable() and len(text) <= 255):
            raise self._bad(name, "must be one line of text")
        return text

    def path(self, name: str) -> str | None:
        """The configured path, or None. Raises ConfigError where it is not absolute."""
        value = self._values.get(name)
        if value is not None and not (value.text.startswith("/") and value.text.isprintable()):
            # A helper's current directory is a work tree that others have written.
            raise self._bad(name, "must be an absolute path")
        return value.text if value else None

    def _bad(self, name: str, wanted: str) -> ConfigError:
        value = self._values.get(name)
        origin = value.origin if value else name
        return ConfigError(f"{origin}: {wanted}", hint=f"correct {name}")

    def _switch(self, name: str) -> bool:
        text = (self._text(name) or "0").lower()
        if text in ("1", "true", "yes", "on"):
            return True
        if text in OFF:
            return False
        raise self._bad(name, "must be 1 or 0")

    def _seconds(self, name: str, smallest: float) -> float:
        try:
            seconds = float(self._text(name) or "")
        except ValueError:
            seconds = -1.0
        if not smallest <= seconds <= 86400:
            raise self._bad(name, f"must be a number of seconds from {smallest} to 86400")
        return seconds

    def _choice(self, name: str, choices: tuple[str, ...]) -> str:
        text = self._text(name) or ""
        for choice in choices:
            if text.lower() == choice.lower():
                return choice
        raise self._bad(name, f"must be one of {', '.join(choices)}")

    def _list(self, name: str, known: tuple[str, ...]) -> list[str]:
        text = self._text(name) or ""
        if text.lower() == "off":
            return []
        items = [item.strip() for item in text.split(",") if item.strip()]
        for item in items:
            if item not in known:
                raise self._bad(name, f"knows no {item!r}, only {', '.join(known)}")
        return items

    def _api_url(self) -> str | None:
        text = self._text("CLOUD_API_URL")
        if text is None:
            return None
        try:
            scheme, host, path = split_url(text)
        except ProtocolError as error:
            raise self._bad("CLOUD_API_URL", error.message) from error
        if scheme == "http" and not (is_loopback(host) or self.allow_http):
            # The workspace's secret travels in a header of every request.
            raise self._bad(
                "CLOUD_API_URL",
                "plain http is only for this machine; use https,"
                " or set GIT_CREDENTIAL_RELAY_ALLOW_HTTP=1",
            )
        return f"{scheme}://{host}" + (f"/{path}" if path else "")

    def _api_path(self) -> str:
        text = self._text("GIT_CREDENTIAL_RELAY_API_PATH") or ""
        if not text.startswith("/") or any(c in "?#\\" or not "!" <= c <= "~" for c in text):
            raise self._bad("GIT_CREDENTIAL_RELAY_API_PATH", "must be an absolute URL path")
        return text

    def _cache_dirs(self) -> list[str]:
        """Where the cache may live, best first: memory-backed, one per user."""
        explicit = self.path("GIT_CREDENTIAL_RELAY_CACHE_DIR")
        if explicit:
            return [explicit]
        uid = os.geteuid()
        runtime = self.environ.get("XDG_RUNTIME_DIR", "")
        dirs = [f"{runtime}/git-credential-relay"] if runtime.startswith("/") else []
        return [
            *dirs,
            f"/run/user/{uid}/git-credential-relay",
            f"/dev/shm/git-credential-relay-{uid}",  # noqa: S108 - owner and mode are checked
        ]

    @property
    def lock_dirs(self) -> list[str]:
        """Where lock files may live that guard a cache without locks of its own."""
        if self._values.get(PREFIX + "CACHE_DIR"):
            return self.cache_dirs
        home = self.environ.get("HOME", "")
        base = self.environ.get("XDG_CACHE_HOME") or (f"{home}/.cache" if home else "")
        own = [f"{base}/git-credential-relay"] if base.startswith("/") else []
        return [*own, *self.cache_dirs]

    def _forges(self) -> list[Forge]:
        forges = [
            *self._forge_list("GIT_CREDENTIAL_RELAY_HOSTS", None),
            *self._forge_list("GH_HOST", GITHUB),
            *self._forge_list("GITLAB_INSTANCE_URL", GITLAB),
            *self._forge_list("GITLAB_HOST", GITLAB),
            *self._forge_list("FORGE_URL", FORGEJO),
        ]
        named = {forge.host for forge in forges}
        if "github.com" not in named:
            forges.append(Forge(GITHUB, "https", "github.com"))
        if "gitlab.com" not in named:
            # Asked about because an API may know it; silent when nobody does.
            own = self.token_host(GITLAB)
            has_token = self.secret("GITLAB_TOKEN").is_set()
            is_named = has_token and own is not None and own.host == "gitlab.com"
            forges.append(Forge(GITLAB, "https", "gitlab.com", is_named=is_named))
        return forges

    def token_host(self, kind: str) -> Forge | None:
        """The one host that GITLAB_TOKEN (kind gitlab) or FORGE_TOKEN (forgejo) belongs to.

        A token says nothing about its host: with two to choose from it belongs to none.
        """
        if kind == FORGEJO:
            return self.forgejo
        listed = [f for f in self._forge_list(PREFIX + "HOSTS", None) if f.kind == GITLAB]
        if self.gitlab is not None or len(listed) > 1:
            return self.gitlab
        return listed[0] if listed else Forge(GITLAB, "https", "gitlab.com")

    def _first_forge(self, kind: str, *names: str) -> Forge | None:
        for name in names:
            for forge in self._forge_list(name, kind):
                return forge
        return None

    def _forge_list(self, name: str, kind: str | None) -> list[Forge]:
        forges = []
        for item in (self._text(name) or "").split(","):
            own_kind, equals, address = item.strip().partition("=")
            if not equals or ":" in own_kind:  # no kind, or a `=` within a URL
                own_kind, address = "", item.strip()
            if not address:
                continue
            if own_kind and (kind or own_kind not in KINDS):
                raise self._bad(name, f"{own_kind!r} is not one of {', '.join(KINDS)}")
            try:
                scheme, host, root = split_url(
                    address if "://" in address else f"https://{address}"
                )
            except ProtocolError as error:
                raise self._bad(name, error.message) from error
            if scheme == "http" and not (is_loopback(host) or self.allow_http):
                raise self._bad(
                    name,
                    f"plain http to {host} would send tokens in the clear; use https,"
                    " or set GIT_CREDENTIAL_RELAY_ALLOW_HTTP=1",
                )
            forges.append(Forge(kind or own_kind or _kind_of(host), scheme, host, root))
        return forges


def load(
    environ: Mapping[str, str],
    flags: Mapping[str, str] | None = None,
    files: Iterable[str] | None = None,
    own_file: str | None = None,
) -> Config:
    """The configuration from `flags` (by setting name), `own_file`, `environ` and `files`.

    Raises ConfigError, one line naming the variable or file at fault.
    """
    own = [file_layer(own_file, is_named=True)] if own_file else []
    layers = [flag_layer(flags or {}), *own, environment_layer(environ)]
    given = merge(layers)
    is_named = files is not None or "GIT_CREDENTIAL_RELAY_CONFIG" in given
    if files is None:
        explicit = given.get("GIT_CREDENTIAL_RELAY_CONFIG")
        files = [explicit.text] if explicit else [*SYSTEM_FILES, *user_files(environ)]
        if explicit and not explicit.text.startswith("/"):
            raise ConfigError(f"{explicit.origin}: must be an absolute path")
        if explicit and not os.path.exists(explicit.text):
            raise ConfigError(f"{explicit.origin}: no such file: {explicit.text}")
    return Config(merge([*layers, *(file_layer(path, is_named) for path in files)]), environ)


def load_from_process(flags: Mapping[str, str] | None = None) -> Config:
    """The configuration of this process, from its own environment and the usual files."""
    return load(os.environ, flags)


def user_files(environ: Mapping[str, str]) -> list[str]:
    """The user's own relay.env, which `login` writes; none when there is no home."""
    home = environ.get("HOME", "")
    base = environ.get("XDG_CONFIG_HOME") or (f"{home}/.config" if home else "")
    return [f"{base}/git-credential-relay/relay.env"] if base.startswith("/") else []


def _kind_of(host: str) -> str:
    return GITLAB if host == "gitlab.com" else GITHUB
