"""The record of an installation: what was wanted, and what was there before."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from git_credential_relay.errors import WiringError

_VERSION = 1
_T = TypeVar("_T")


@dataclass
class EditedFile:
    """A text file that got our block, and how it was before.

    `opened_from` is the mode that it had if we had to open it to all; `newline` tells that its
    last line had no end.
    """

    existed: bool
    opened_from: int | None
    newline: bool
    block: str


@dataclass
class OwnFile:
    """A file that is all ours, by the SHA-256 of its text; `displaced` is where to find what
    stood in its place."""

    sha256: str
    displaced: str | None


@dataclass
class Manifest:
    """What one installation did. Paths are as they are called where it runs.

    It holds no text of anybody else's: their configuration may carry secrets.
    """

    options: dict[str, Any] = field(default_factory=dict)
    edited: dict[str, EditedFile] = field(default_factory=dict)
    own: dict[str, OwnFile] = field(default_factory=dict)
    directories: list[str] = field(default_factory=list)

    def dump(self) -> str:
        """The record's text."""
        return json.dumps({"version": _VERSION, **asdict(self)}, indent=1, sort_keys=True) + "\n"

    @classmethod
    def load(cls, text: str, path: str) -> Manifest:
        """The record in `text`. Raises WiringError when it is none of ours."""
        try:
            values = json.loads(text)
            if values["version"] != _VERSION:
                raise ValueError
            return cls(
                dict(values["options"]),
                _each(EditedFile, values["edited"]),
                _each(OwnFile, values["own"]),
                [str(directory) for directory in values["directories"]],
            )
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise WiringError(
                f"{path} is not a record of an installation",
                code="bad-manifest",
                hint="remove the block between our marks from git's configuration by hand",
            ) from error


def _each(kind: Callable[..., _T], values: Mapping[str, Mapping[str, Any]]) -> dict[str, _T]:
    return {path: kind(**fields) for path, fields in values.items()}
