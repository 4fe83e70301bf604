"""What the broker's commands have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import click

from git_credential_relay.errors import MissingExtraError

F = TypeVar("F", bound=Callable[..., Any])

# The modules of the extra `broker`.
_EXTRA = frozenset(
    {
        "starlette", "uvicorn", "h11", "jwt", "cryptography", "msgspec", "sqlalchemy", "alembic",
        "prometheus_client",
    }
)  # fmt: skip


def config_option(command: F) -> F:
    """`--config FILE`, ./broker.toml without it, as `config_path`."""
    return click.option(
        "--config",
        "config_path",
        type=click.Path(path_type=Path),
        default="broker.toml",
        show_default=True,
        metavar="FILE",
        help="the broker's configuration",
    )(command)


@contextmanager
def broker_extra() -> Iterator[None]:
    """Turns the failed import of a library of the extra into words that say what to install."""
    try:
        yield
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        if name not in _EXTRA:
            raise
        raise _missing(name) from error


def check_broker_extra() -> None:
    """Look whether the extra is there, without importing it. Raises MissingExtraError."""
    for name in sorted(_EXTRA):
        if find_spec(name) is None:
            raise _missing(name)


def _missing(name: str) -> MissingExtraError:
    return MissingExtraError(
        f"the broker needs {name}, which is not installed",
        hint="pip install 'git-credential-relay[broker]'",
    )
