"""The layers of the configuration, each a set of values with their origins, and their merging.

On the warm path.
"""

from __future__ import annotations

from git_credential_relay.env_file import read_env_file
from git_credential_relay.errors import ConfigError
from git_credential_relay.settings import PREFIX, SETTINGS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Final

# What templates leave behind when nobody filled them in.
ABSENT = frozenset(("", "null", "seed-me"))

BY_NAME = {name: setting for setting in SETTINGS for name in setting.names}


class Value:
    """A configured text and where it came from, for messages: `WORKSPACE_ID in the
    environment`, `/etc/git-credential-relay/relay.env:3`."""

    __slots__ = ("origin", "text")

    def __init__(self, text: str, origin: str) -> None:
        self.text: Final = text
        self.origin: Final = origin


def flag_layer(flags: Mapping[str, str]) -> dict[str, Value]:
    return {
        name: Value(text, BY_NAME[name].flag)
        for name, text in flags.items()
        if text.strip() not in ABSENT
    }


def environment_layer(environ: Mapping[str, str]) -> dict[str, Value]:
    return {
        name: Value(environ[name], f"{name} in the environment")
        for name in BY_NAME
        if name in environ and environ[name].strip() not in ABSENT
    }


def merge(layers: Iterable[Mapping[str, Value]]) -> dict[str, Value]:
    """For each setting the value of the highest layer, whatever spelling it uses there.

    A secret given both as value and as file in one layer is refused: nobody could say which
    one rotates. A higher layer's form replaces a lower one's other form.
    """
    merged: dict[str, Value] = {}
    for layer in layers:
        for setting in SETTINGS:
            if setting.name in merged or setting.name + "_FILE" in merged:
                continue
            found = [(name, layer[name]) for name in setting.names if name in layer]
            if setting.is_secret and len({name.endswith("_FILE") for name, _ in found}) > 1:
                raise ConfigError(
                    f"{found[0][1].origin}: {setting.name} and {setting.name}_FILE are both set",
                    hint="keep one of them",
                )
            if found:
                name, value = found[0]
                merged[name if name.endswith("_FILE") else setting.name] = value
    return merged


def file_layer(path: str, is_named: bool) -> dict[str, Value]:
    """The settings in a relay.env file; others' variables in it are left alone."""
    values = {}
    for name, text, origin in read_env_file(path, is_named=is_named):
        if name not in BY_NAME:
            if name.startswith(PREFIX):
                raise ConfigError(f"{origin}: there is no setting {name}")
        elif text not in ABSENT:
            values[name] = Value(text, f"{origin} ({name})")
    return values
