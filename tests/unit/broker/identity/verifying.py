"""Running the verifier of a test's issuers."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from git_credential_relay.broker.config.model import IssuerModel
from git_credential_relay.broker.errors import CallerUnknownError
from git_credential_relay.broker.identity.issuers import compile_issuers
from git_credential_relay.broker.identity.tokens import TokenVerifier
from tests.fakes.issuer import AUDIENCE


def model(url: str, **settings: Any) -> IssuerModel:
    """An issuer's configuration."""
    return IssuerModel(url=url, audience=AUDIENCE, **settings)


def make_verifier(*models: IssuerModel, monotonic=time.monotonic, directory=Path("/")):
    """A verifier of these issuers' tokens."""
    return TokenVerifier(compile_issuers(models, lambda path: directory / path), monotonic)


def verify(token: str, *models: IssuerModel, **options):
    """The claims of the token, by a verifier that knows no keys yet."""

    async def run():
        verifier = make_verifier(*models, **options)
        try:
            return await verifier.verify(token)
        finally:
            await verifier.aclose()

    return asyncio.run(run())


def refusal(token: str, *models: IssuerModel, **options) -> str:
    """Why the token is refused, as the audit is told; fails if it is not."""
    with pytest.raises(CallerUnknownError) as caught:
        verify(token, *models, **options)
    prefix = "the identity token is refused: "
    assert str(caught.value.reason).startswith(prefix)
    return str(caught.value.reason).removeprefix(prefix)
