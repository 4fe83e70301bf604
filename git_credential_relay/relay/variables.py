"""From a token to the environment variables that tools read, and how we know ours again."""

from __future__ import annotations

from git_credential_relay.credential.forge import FORGEJO, GITHUB, GITLAB
from git_credential_relay.errors import ConfigError, ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Final

    from git_credential_relay.config import Config
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
# Where tools look for their forge before, or in place of, the variable that we set: a host or a
# URL, and a repository that may begin with one. gh takes GH_TOKEN for tenants of ghe.com too.
_ADDRESSES = {
    GITHUB: ("GITHUB_API_URL", "GITHUB_GRAPHQL_URL", "GITHUB_SERVER_URL", "GITHUB_URL", "GH_URL"),
    GITLAB: (
        *("GITLAB_URI", "GITLAB_URL", "GITLAB_BASE_URL", "GL_HOST", "GL_URL"),
        *("CI_SERVER_URL", "CI_API_V4_URL"),
    ),
}
_REPOSITORIES = {GITHUB: "GH_REPO", GITLAB: "GITLAB_REPO"}
HOSTS = "GIT_CREDENTIAL_RELAY_HOSTS"
FROM_API = ("relay API", "cache", "sidecar")


class TokenVariables:
    """The variables with a token for one forge.

    `tokens` hold it, `address` says where it goes and how; `removed` are those that would take it,
    or a token beside it, to another host.
    """

    __slots__ = ("address", "forge", "removed", "tokens")

    def __init__(
        self,
        forge: Forge,
        tokens: tuple[str, ...],
        address: dict[str, str],
        removed: tuple[str, ...] = (),
    ) -> None:
        self.forge: Final = forge
        self.tokens: Final = tokens
        self.address: Final = address
        self.removed: Final = removed

    def values(self, credential: Credential) -> dict[str, str]:
        """Names and values with the token of `credential`."""
        return {**dict.fromkeys(self.tokens, credential.password.reveal()), **self.address}

    def misleading(self, environ: Mapping[str, str]) -> list[str]:
        """Those of `environ` with which a tool would send the token to another host."""
        return [name for name in environ if name in self.removed or self._leads_away(environ, name)]

    def environment(self, environ: Mapping[str, str], credential: Credential) -> dict[str, str]:
        """`environ` with these variables in it, marked as ours."""
        removed = (*self.misleading(environ), *own_tokens(environ))
        kept = {name: value for name, value in environ.items() if name not in removed}
        return {**kept, **self.values(credential), **mark(credential)}

    def _leads_away(self, environ: Mapping[str, str], name: str) -> bool:
        if name in _ADDRESSES.get(self.forge.kind, ()):
            return not _is_at(self.forge, environ[name])
        return name == _REPOSITORIES.get(self.forge.kind) and not _is_in(self.forge, environ[name])


def token_variables(forge: Forge, config: Config) -> TokenVariables:
    """What the tools of that kind of forge read: gh, glab, clients of Forgejo.

    Raises ConfigError for a GitHub Enterprise host: no variable binds a token to it.
    """
    if forge.kind == GITLAB:
        # As a Bearer token, which GitLab takes of every kind; by itself glab (>= 1.82) would send
        # what is in a variable as a personal one, which GitLab refuses for OAuth's.
        address = {"GITLAB_HOST": forge.host, "GLAB_IS_OAUTH2": "true"}
        if forge.root:
            address["GITLAB_SUBFOLDER"] = forge.root
        return TokenVariables(forge, ("GITLAB_TOKEN",), address, OVERRIDES_IN_GLAB)
    if forge.kind == FORGEJO:
        return TokenVariables(forge, ("FORGE_TOKEN",), {"FORGE_URL": forge.url})
    if forge.host != GITHUB_COM:
        raise ConfigError(
            f"no variable binds a token to {forge.host}",
            code="usage",
            hint="run gh itself, which `git-credential-relay install` wires for this host,"
            " or use `token --format raw`",
        )
    address = {"GH_HOST": GITHUB_COM, **_enterprise_hosts(config)}
    return TokenVariables(forge, GITHUB_TOKENS, address, (*UNBOUND_IN_GH, CODESPACES))


def _enterprise_hosts(config: Config) -> dict[str, str]:
    """What GH_HOST says of our hosts, kept where a GH_HOST for gh takes its place.

    So git below it is served for these hosts as before.
    """
    enterprise, listed = config.value("GH_HOST"), config.value(HOSTS)
    if enterprise is None or enterprise.text == GITHUB_COM:
        return {}
    return {HOSTS: f"{listed.text},{enterprise.text}" if listed else enterprise.text}


def _is_at(forge: Forge, address: str) -> bool:
    """Whether `address`, a host or a URL, is the forge's or that of its API."""
    from git_credential_relay.credential.url import split_url

    try:
        scheme, host, _ = split_url(address if "://" in address else f"https://{address}")
    except ProtocolError:
        return False
    return scheme == forge.scheme and host in (forge.host, f"api.{forge.host}")


def _is_in(forge: Forge, repository: str) -> bool:
    """Whether `repository`, `[HOST/]OWNER/NAME` or a URL, names no other host than `forge`."""
    from git_credential_relay.relay.remotes import parse_address

    if ":" in repository:
        address = parse_address(repository)
        return address is not None and address.host == forge.host
    host, _, rest = repository.partition("/")
    # In a path of three a GitLab sees groups, and gh a host.
    return forge.kind == GITLAB or "/" not in rest or host.lower() == forge.host


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
