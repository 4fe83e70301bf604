"""The form of broker.toml. Unknown keys are refused: a mistyped limit must not be no limit.

Paths are relative to the file's own directory. Every secret is in a file of its own, or in an
environment variable named as `env:NAME`; none stands in the configuration itself. `database` and
`cache_url` take `env:NAME` too, for a URL with a password in it.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Struct, field

Text = Annotated[str, Meta(min_length=1, max_length=1024)]
Name = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z")]
Seconds = Annotated[int, Meta(ge=1, le=86_400)]
Count = Annotated[int, Meta(ge=1, le=10_000_000)]


class GrantModel(Struct, forbid_unknown_fields=True, kw_only=True):
    """`[[workspace.grant]]`; the admin API takes the same names."""

    host: Text
    repositories: Annotated[list[Text], Meta(min_length=1, max_length=500)]
    permissions: dict[str, str] = field(default_factory=lambda: {"contents": "write"})
    uses: list[str] = field(default_factory=lambda: ["git", "api"])
    read_only: bool = False
    repository_ids: dict[str, int] = {}
    integration: str | None = None
    access_level: Annotated[int, Meta(ge=10, le=50)] | None = None


class IdentityModel(Struct, forbid_unknown_fields=True, kw_only=True):
    """`[[workspace.identity]]`: whose identity tokens speak for the workspace.

    Exactly one of `subject` and `subject_pattern`; a pattern needs a claim beside it. Values of
    `claims` are compared whole, `claim_patterns` by fullmatch.
    """

    issuer: Text
    subject: str | None = None
    subject_pattern: str | None = None
    claims: dict[str, str | int | bool] = {}
    claim_patterns: dict[str, str] = {}


class WorkspaceModel(Struct, forbid_unknown_fields=True, kw_only=True):
    """`[[workspace]]`. Several secrets are accepted at once while one is being rotated."""

    id: Name
    secret_file: str | list[str] | None = None
    secret_sha256: str | list[str] | None = None
    session_hmac: bool = False
    identity: list[IdentityModel] = []
    grant: list[GrantModel] = []


class _ForgeModel(Struct, forbid_unknown_fields=True, kw_only=True, tag_field="kind"):
    """What every `[[forge]]` has. `name` tells several for one host apart.

    `owners`: only for repositories of these owners.
    """

    name: Name | None = None
    owners: list[Text] | None = None
    ca_file: str | None = None


class GitHubModel(_ForgeModel, tag="github", kw_only=True):
    """A GitHub App. `issuer` is what its JWTs name: the App id, unless a client id is given."""

    host: Text = "github.com"
    url: str | None = None
    api_url: str | None = None
    app_id: Annotated[str, Meta(min_length=1)] | int
    client_id: str | None = None
    private_key_file: str
    verifies_fresh_tokens: bool = True


class OAuthModel(Struct, forbid_unknown_fields=True, kw_only=True):
    """An OAuth application's pair of tokens, which only the broker may refresh.

    The refresh token is a seed: each is used once, and then the database holds the pair.
    """

    client_id: Text
    client_secret_file: str | None = None
    refresh_token_file: str
    redirect_uri: str | None = None


class GitLabModel(_ForgeModel, tag="gitlab", kw_only=True):
    """GitLab; `url` may have a port and a path.

    `token_file` with `mode = "project"` or `"group"` makes a token per lease with it; with
    `mode = "static"` it is handed out itself.
    """

    host: str | None = None
    url: str | None = None
    api_url: str | None = None
    mode: str = "project"
    token_file: str | None = None
    oauth: OAuthModel | None = None
    group: str | int | None = None
    lease_seconds: Seconds = 3600


class ForgejoModel(_ForgeModel, tag="forgejo", kw_only=True):
    """Forgejo or Gitea. `user` is the bot that the tokens belong to.

    `admin_token_file` for Forgejo 16 and later; `password_file` (the user's own) for older ones
    and Gitea. `allows_unrestricted_tokens` accepts a token for all of the user's repositories,
    where the server knows no other.
    """

    host: str | None = None
    url: str | None = None
    api_url: str | None = None
    user: Text
    admin_token_file: str | None = None
    password_file: str | None = None
    allows_unrestricted_tokens: bool = False
    lease_seconds: Seconds = 3600


class StaticModel(_ForgeModel, tag="static", kw_only=True):
    """A token that somebody made by hand, for the repositories it is good for.

    Without `repositories` it is good for those that grants cover, without `permissions` for what
    they say, if that is writing contents: nobody has said that the token cannot.
    """

    host: Text
    url: str | None = None
    token_file: str
    username: Text = "x-access-token"
    repositories: list[Text] | None = None
    permissions: dict[str, str] | None = None
    expires_at: str | None = None


ForgeModel = GitHubModel | GitLabModel | ForgejoModel | StaticModel


class IssuerModel(Struct, forbid_unknown_fields=True, kw_only=True):
    """`[[issuer]]`: who may vouch for workloads. Nothing is fetched from anybody else.

    Keys come from `jwks_file`, from `jwks_uri`, or from the issuer's discovery document.
    Tokens of pull and merge requests are refused unless `allows_pull_requests`: they run other
    people's code. `trust_domain` is for SPIFFE, whose tokens need name no issuer.
    """

    url: Text
    audience: Text
    algorithms: list[str] = field(default_factory=lambda: ["RS256"])
    jwks_uri: str | None = None
    jwks_file: str | None = None
    ca_file: str | None = None
    allows_pull_requests: bool = False
    trust_domain: str | None = None


class AdminModel(Struct, forbid_unknown_fields=True, kw_only=True):
    """`[admin]`: who may manage workspaces. Without it nobody may."""

    secret_file: str | list[str] | None = None
    secret_sha256: str | list[str] | None = None
    identity: list[IdentityModel] = []


class LimitsModel(Struct, forbid_unknown_fields=True, kw_only=True):
    """`[limits]`."""

    body_bytes: Count = 65_536
    request_seconds: Seconds = 30
    concurrent_requests: Count = 2_000
    workspace_requests_per_minute: Count = 600
    workspace_mints_per_minute: Count = 60
    address_requests_per_minute: Count = 3_000
    drain_seconds: Seconds = 20


class BrokerModel(Struct, forbid_unknown_fields=True, kw_only=True):
    """The whole file."""

    listen: str = "127.0.0.1:8750"
    tls_certificate_file: str | None = None
    tls_key_file: str | None = None
    trusted_proxies: list[str] = []
    database: str = "sqlite:///broker.db"
    cache_url: str | None = None
    encryption_key_file: str | None = None
    session_secret_file: str | None = None
    min_lifetime: Seconds = 600
    audit_file: str = "audit.ndjson"
    audit_max_bytes: Annotated[int, Meta(ge=65_536, le=100_000_000_000)] = 100_000_000
    audit_keep: Annotated[int, Meta(ge=1, le=1000)] = 10
    audit_sinks: list[str] = []
    admin: AdminModel | None = None
    limits: LimitsModel = field(default_factory=LimitsModel)
    issuer: list[IssuerModel] = []
    forge: list[ForgeModel] = []
    workspace: list[WorkspaceModel] = []


def decode(document: object) -> BrokerModel:
    """The checked form of a parsed document.

    Raises msgspec.ValidationError, whose text ends in the path of what is wrong.
    """
    return msgspec.convert(document, BrokerModel)
