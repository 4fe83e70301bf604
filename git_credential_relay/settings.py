"""The table of settings: every variable there is, in one place. On the warm path."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

PREFIX = "GIT_CREDENTIAL_RELAY_"
# Where a sidecar is unless somebody says otherwise.
DEFAULT_SOCKET = "/run/git-credential-relay/git.sock"
# The local sources there are, in the order in which they are tried.
FALLBACK_SOURCES = (
    "GH_TOKEN",
    "GITHUB_TOKEN",
    "GIT_TOKEN",
    "GITHUB_CLI_PAT",
    "GITLAB_TOKEN",
    "FORGE_TOKEN",
    "FORGE_PASS",
    "hosts.yml",
    "gh",
)


class Setting:
    """One setting: its variable, other spellings of it, its default and what it means.

    A secret may also be given as `<name>_FILE`; as a flag only so, since arguments are
    visible to every process. `flag` is `--deadline` for GIT_CREDENTIAL_RELAY_DEADLINE, and
    `flag_name` the variable that it stands for.
    """

    __slots__ = ("default", "flag", "flag_name", "is_secret", "meaning", "name", "names")

    def __init__(
        self,
        name: str,
        meaning: str,
        *,
        default: str | None = None,
        aliases: tuple[str, ...] = (),
        is_secret: bool = False,
        flag: str | None = None,
    ) -> None:
        files = tuple(n + "_FILE" for n in (name, *aliases)) if is_secret else ()
        self.name: Final = name
        self.names: Final = (name, *aliases, *files)
        self.meaning: Final = meaning
        self.default: Final = default
        self.is_secret: Final = is_secret
        self.flag_name: Final = files[0] if files else name
        words = self.flag_name.removeprefix(PREFIX).lower().replace("_", "-")
        self.flag: Final = flag or f"--{words}"


SETTINGS = (
    Setting(
        "CLOUD_API_URL",
        "address of the relay API",
        aliases=("AGENT_RELAY_CLOUD_URL",),
    ),
    Setting("WORKSPACE_ID", "which workspace this is"),
    Setting("WORKSPACE_TOKEN", "the workspace's secret", is_secret=True),
    Setting(PREFIX + "CONFIG", "read this file instead of the relay.env files"),
    Setting(
        PREFIX + "API_PATH",
        "path of the token endpoint below CLOUD_API_URL",
        default="/api/git/token",
    ),
    Setting(PREFIX + "API_METHOD", "GET or POST", default="GET"),
    Setting(
        PREFIX + "TOKEN_FIELDS_GIT",
        "which token of an answer to use for git, first one first",
        default="userToken,token",
    ),
    Setting(
        PREFIX + "TOKEN_FIELDS_API",
        "which token of an answer to use for the forge's API (gh)",
        default="userToken,token",
    ),
    Setting(
        PREFIX + "HOSTS",
        "more hosts to answer for: a list of [github=|gitlab=|forgejo=]host or URL",
    ),
    Setting("GH_HOST", "a GitHub Enterprise host"),
    Setting("GITLAB_INSTANCE_URL", "a self-hosted GitLab; port and path count"),
    Setting("GITLAB_HOST", "a self-hosted GitLab, by host"),
    Setting("FORGE_URL", "a Forgejo or Gitea"),
    Setting(PREFIX + "ALLOW_HTTP", "1: plain http to other machines too", default="0"),
    Setting(
        PREFIX + "CA_FILE", "PEM file of certificate authorities to trust besides the system's"
    ),
    Setting(
        "HTTPS_PROXY", "proxy for an https API", aliases=("https_proxy", "ALL_PROXY", "all_proxy")
    ),
    Setting("HTTP_PROXY", "proxy for an http API on another machine", aliases=("http_proxy",)),
    Setting("NO_PROXY", "hosts to reach without a proxy", aliases=("no_proxy",)),
    Setting(PREFIX + "DEADLINE", "seconds one operation may take in all", default="20"),
    Setting(
        PREFIX + "MIN_LIFETIME",
        "seconds a token must have left to be handed out from the cache",
        default="600",
    ),
    Setting(PREFIX + "CACHE", "tmpfs, keyring or off", default="tmpfs"),
    Setting(PREFIX + "CACHE_DIR", "directory of the cache, instead of the memory-backed ones"),
    Setting(
        PREFIX + "FALLBACK",
        "local sources to try after the API, in order, or off",
        default=",".join(FALLBACK_SOURCES),
    ),
    Setting(
        PREFIX + "FAIL_CLOSED",
        "1: tell git to stop when we fail, instead of asking the next helper",
        default="0",
    ),
    Setting(PREFIX + "KEYRING", "1: the workspace's secret is in the keyring (login)", default="0"),
    Setting(PREFIX + "SOCKET", "socket of the sidecar that is asked here"),
    Setting(PREFIX + "GH_SOCKET", "socket of the sidecar for gh's own requests"),
    Setting(PREFIX + "ALLOW_UIDS", "uids that may ask the sidecar besides its own, or all"),
    Setting(PREFIX + "ALLOW_GIDS", "groups, by gid, whose members may ask the sidecar"),
    Setting(
        PREFIX + "WORKSPACES",
        "directory of NAME.env files: a sidecar for several workspaces",
    ),
    Setting("GH_TOKEN", "token for github.com", is_secret=True),
    Setting("GITHUB_TOKEN", "token for github.com", is_secret=True),
    Setting("GIT_TOKEN", "token for github.com", is_secret=True),
    Setting("GITHUB_CLI_PAT", "token for github.com", is_secret=True),
    Setting("GITLAB_TOKEN", "token for the configured GitLab host", is_secret=True),
    Setting("FORGE_TOKEN", "token for FORGE_URL", is_secret=True),
    Setting("FORGE_PASS", "password of the bot user at FORGE_URL", is_secret=True),
    Setting(
        "GIT_CREDENTIAL_DEBUG",
        "1: a trace without secrets on stderr",
        default="0",
        aliases=("GH_CREDENTIAL_DEBUG",),
        flag="--verbose",
    ),
)


def setting_for_flag(flag: str) -> Setting | None:
    """The setting behind a flag such as `--deadline`."""
    for setting in SETTINGS:
        if flag == setting.flag:
            return setting
    return None
