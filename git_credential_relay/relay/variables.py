"""From a token to the environment variables that tools read, and how we know ours again."""

from __future__ import annotations

from git_credential_relay.credential.forge import FORGEJO, GITLAB
from git_credential_relay.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Final

    from git_credential_relay.credential.credential import Credential
    from git_credential_relay.credential.forge import Forge

GITHUB_COM = "github.com"
# The hash of the token that we set, beside it: a later call of ours replaces what is ours, and
# leaves alone what is somebody's own.
MARK = "GIT_CREDENTIAL_RELAY_TOKEN_SHA256"
# gh offers these to every host there is (CVE-2024-53858), so they are never ours to set.
UNBOUND_IN_GH = ("GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN")
# And with this one, older ones offer GITHUB_TOKEN to every host.
CODESPACES = "CODESPACES"
GITHUB_TOKENS = ("GH_TOKEN", "GITHUB_TOKEN")
TOKENS = (*GITHUB_TOKENS, "GITLAB_TOKEN", "FORGE_TOKEN")
# How many stand-ins for gh there are between a call and the first one. An extension that calls gh
# is one; a gh behind ours that calls ours again would go on for ever.
DEPTH = "GIT_CREDENTIAL_RELAY_GH_DEPTH"
MAX_DEPTH = 16
# With these, glab would send the token elsewhere than to GITLAB_HOST.
OVERRIDES_IN_GLAB = ("GITLAB_API_HOST", "GITLAB_SUBFOLDER")
FROM_API = ("relay API", "cache")


class TokenVariables:
    """The variables with a token for one forge.

    `tokens` hold it, `address` says where it goes and how; `removed` are those that would take it,
    or a token beside it, to another host.
    """

    __slots__ = ("address", "removed", "tokens")

    def __init__(
        self, tokens: tuple[str, ...], address: dict[str, str], removed: tuple[str, ...] = ()
    ) -> None:
        self.tokens: Final = tokens
        self.address: Final = address
        self.removed: Final = removed

    def values(self, credential: Credential) -> dict[str, str]:
        """Names and values with the token of `credential`."""
        return {**dict.fromkeys(self.tokens, credential.password.reveal()), **self.address}

    def environment(self, environ: Mapping[str, str], credential: Credential) -> dict[str, str]:
        """`environ` with these variables in it, marked as ours."""
        removed = (*self.removed, *own_tokens(environ))
        kept = {name: value for name, value in environ.items() if name not in removed}
        return {**kept, **self.values(credential), **mark(credential)}


def token_variables(forge: Forge) -> TokenVariables:
    """What the tools of that kind of forge read: gh, glab, clients of Forgejo.

    Raises ConfigError for a GitHub Enterprise host: no variable binds a token to it.
    """
    if forge.kind == GITLAB:
        # As a Bearer token, which GitLab takes of every kind; by itself glab (>= 1.82) would send
        # what is in a variable as a personal one, which GitLab refuses for OAuth's.
        address = {"GITLAB_HOST": forge.host, "GLAB_IS_OAUTH2": "true"}
        if forge.root:
            address["GITLAB_SUBFOLDER"] = forge.root
        return TokenVariables(("GITLAB_TOKEN",), address, OVERRIDES_IN_GLAB)
    if forge.kind == FORGEJO:
        return TokenVariables(("FORGE_TOKEN",), {"FORGE_URL": forge.url})
    if forge.host != GITHUB_COM:
        raise ConfigError(
            f"no variable binds a token to {forge.host}",
            code="usage",
            hint="run gh itself, which `git-credential-relay install` wires for this host,"
            " or use `token --format raw`",
        )
    return TokenVariables(GITHUB_TOKENS, {}, (*UNBOUND_IN_GH, CODESPACES))


def mark(credential: Credential) -> dict[str, str]:
    """The variable that marks a token as ours; none for one that lies here anyway.

    A local source's token stays what it was, even when we carry it from one variable to another.
    """
    return {MARK: credential.token_sha256} if credential.source in FROM_API else {}


def own_tokens(environ: Mapping[str, str], names: Sequence[str] = TOKENS) -> list[str]:
    """Those of `names` that hold a token which an earlier call of ours put into `environ`."""
    marked = environ.get(MARK)
    if not marked:
        return []
    from git_credential_relay.secret import Secret, token_sha256  # not for a first call

    return [
        name
        for name in names
        if environ.get(name) and token_sha256(Secret(environ[name])) == marked
    ]
