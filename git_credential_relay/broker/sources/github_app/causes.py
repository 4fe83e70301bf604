"""What GitHub means when it says no, and what a person can do about it.

GitHub's messages may name what the workspace has no grant for, so they go to the audit alone.
"""

from __future__ import annotations

from collections.abc import Iterable

from git_credential_relay.broker.errors import ForgeRefusedError
from git_credential_relay.broker.sources.http import ForgeAnswer

_HINT_APP = "check app_id (or client_id), private_key_file and api_url, and that the App exists"


def not_installed(app: str, owner: str, answer: ForgeAnswer) -> ForgeRefusedError:
    """404: whether the repository exists is not told."""
    return _refused(
        "FORGE_NOT_INSTALLED",
        f"the GitHub App {app} is not installed for this repository of {owner}",
        f"an owner of {owner} has to install the App and select the repository",
        answer,
    )


def repository_renamed(
    repositories: Iterable[str], answer: ForgeAnswer | None = None
) -> ForgeRefusedError:
    """A name that was granted now leads to a repository of another name.

    Which, is not told: it may have moved to where it is a secret.
    """
    return _refused(
        "FORGE_REPOSITORY_RENAMED",
        f"renamed or moved: {', '.join(repositories)}",
        "grant its present name, or pin it with repository_ids so that renaming does no harm",
        answer,
    )


def repository_not_found(
    app: str, repositories: Iterable[str], answer: ForgeAnswer
) -> ForgeRefusedError:
    """The App is installed for the owner, but not for all of these."""
    return _refused(
        "FORGE_REPOSITORY_NOT_FOUND",
        f"the GitHub App {app} has no access to {', '.join(repositories)}",
        "select the repository in the installation's settings at GitHub",
        answer,
    )


def permission_not_granted(
    app: str, owner: str, permissions: Iterable[str], answer: ForgeAnswer | None = None
) -> ForgeRefusedError:
    """The installation lacks permissions; `permissions` are texts such as `issues: write`."""
    return _refused(
        "FORGE_PERMISSION_NOT_GRANTED",
        f"the GitHub App {app} does not have {', '.join(sorted(permissions))} at {owner}",
        f"add them in the App's settings; then an admin of {owner} at GitHub has to accept them",
        answer,
    )


def app_rejected(app: str, answer: ForgeAnswer) -> ForgeRefusedError:
    """401: the App's own JWT is not accepted."""
    return _refused(
        "FORGE_APP_REJECTED", f"GitHub does not accept the App {app}'s key", _HINT_APP, answer
    )


def is_about_repositories(answer: ForgeAnswer) -> bool:
    """A 422 because the installation does not include a repository."""
    return answer.status == 422 and "not accessible to the parent installation" in _words(answer)


def is_about_permissions(answer: ForgeAnswer) -> bool:
    """A 422 because the installation lacks a permission."""
    return answer.status == 422 and "permissions requested are not granted" in _words(answer)


def is_about_clock(answer: ForgeAnswer) -> bool:
    """A 401 because the JWT's times do not fit the forge's clock."""
    words = _words(answer)
    return answer.status == 401 and (
        "'expiration time' claim" in words or "'issued at' claim" in words
    )


def other_refusal(app: str, owner: str, answer: ForgeAnswer) -> ForgeRefusedError:
    """The error for every answer that has no more to say than its status and message."""
    words = _words(answer)
    match answer.status:
        case 401:
            return app_rejected(app, answer)
        case 403 if "suspended" in words:
            return _refused(
                "FORGE_INSTALLATION_SUSPENDED",
                f"the installation of the GitHub App {app} at {owner} is suspended",
                f"an owner of {owner} can unsuspend it in the installation's settings at GitHub",
                answer,
            )
        case 403 if "ip allow list" in words:
            return _refused(
                "FORGE_IP_NOT_ALLOWED",
                f"{owner} does not accept requests from the broker's address",
                f"an owner of {owner} has to add the broker's address to the IP allow list",
                answer,
            )
        case 422 if "complex" in words or "maximum" in words:
            return _refused(
                "FORGE_TOO_COMPLEX",
                "too many repositories and permissions for one token",
                "split the grant, or set credential.useHttpPath so that git says which one",
                answer,
            )
        case status if 300 <= status < 400:
            return _refused(
                "FORGE_REFUSED", "the forge redirects to elsewhere", "check api_url", answer
            )
        case status:
            return _refused(
                "FORGE_REFUSED",
                f"GitHub refuses (HTTP {status})",
                "the broker's audit log has GitHub's own words",
                answer,
            )


def unreadable(what: str) -> ForgeRefusedError:
    """An answer of success that is not what GitHub answers."""
    return ForgeRefusedError(
        f"the forge's answer is not GitHub's: {what}", hint="check api_url and proxies"
    )


def _words(answer: ForgeAnswer) -> str:
    body = answer.json()
    message = body.get("message") if isinstance(body, dict) else None
    return message.lower() if isinstance(message, str) else ""


def _refused(
    code: str, message: str, hint: str, answer: ForgeAnswer | None = None
) -> ForgeRefusedError:
    reason = None if answer is None else f"HTTP {answer.status}: {answer.text()}"
    return ForgeRefusedError(message, code=code, hint=hint, reason=reason)
