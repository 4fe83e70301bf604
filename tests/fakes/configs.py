"""Configurations, forges and targets as the tests need them."""

from git_credential_relay.config import Config, load
from git_credential_relay.credential.forge import FORGEJO, GITHUB, GITLAB, Forge, Target

GITHUB_COM = Forge(GITHUB, "https", "github.com")
GITHUB_ENTERPRISE = Forge(GITHUB, "https", "ghe.example")
GITLAB_COM = Forge(GITLAB, "https", "gitlab.com")
GITLAB_OWN = Forge(GITLAB, "https", "git.example:8443", "gitlab")
CODEBERG = Forge(FORGEJO, "https", "codeberg.org")

REPOSITORY = Target(GITHUB_COM, "octo/spoon")
WORKSPACE_ID = "ws-1"
WORKSPACE_SECRET = "workspace-secret-0123456789abcdef"


def make_config(**variables: str) -> Config:
    """The configuration of an environment that holds `variables` and nothing else."""
    return load(variables, files=[])


def api_config(api_url: str = "https://relay.example", **variables: str) -> Config:
    """A configuration in which the relay API is set up."""
    environ = {
        "CLOUD_API_URL": api_url,
        "WORKSPACE_ID": WORKSPACE_ID,
        "WORKSPACE_TOKEN": WORKSPACE_SECRET,
    }
    return make_config(**(environ | variables))
