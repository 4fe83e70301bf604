"""Single settings of git's that decide what a helper is asked, and how git goes on."""

from __future__ import annotations

from collections.abc import Sequence

from git_credential_relay.doctor.gitconfig import (
    Entry,
    about,
    is_true,
    set_command,
    unset_command,
)
from git_credential_relay.doctor.report import Check, ok, skip, warn
from git_credential_relay.doctor.urlmatch import Url

HTTP_PATH = "use-http-path"
USERNAME = "username"
RETRIES = "http-retries"

# From here on http.maxRetries = 0, the default, repeats a rate-limited request without end.
RETRY_BUG_SINCE = (2, 54)


def check_http_path(entries: Sequence[Entry], url: Url, *, is_wired: bool) -> Check:
    """Whether git tells which repository it means."""
    place = f"{url.scheme}://{url.address}"
    if not is_wired:
        return skip(HTTP_PATH, "not-wired", "git does not ask us")
    found = about(entries, "credential", "usehttppath", url)
    if found and is_true(found[-1].value):
        return ok(HTTP_PATH, f"{place}: git says which repository it means")
    where = f" (useHttpPath in {found[-1].origin})" if found else ""
    return warn(
        HTTP_PATH,
        "http-path-off",
        f"{place}: git does not say which repository it means{where}, so no token is bound to one",
        set_command(found, f"credential.{place}.useHttpPath", "true"),
    )


def check_username(entries: Sequence[Entry], url: Url, own: str | None) -> Check:
    """A configured user name makes git ask for that user's credential, which ours is not."""
    found = [e for e in about(entries, "credential", "username", url) if e.value]
    if found and found[-1].value != own:
        return warn(
            USERNAME,
            "username-configured",
            f"credential.username in {found[-1].origin} is {found[-1].value}: we stay silent unless"
            " the API's user is called so",
            unset_command(found, entries),
        )
    return ok(USERNAME, "none is configured")


def check_retries(entries: Sequence[Entry], url: Url, version: tuple[int, int] | None) -> Check:
    """http.maxRetries, for the gits that need it to stop."""
    found = about(entries, "http", "maxretries", url)
    value = found[-1].value if found else None
    if version is None or version < RETRY_BUG_SINCE:
        return ok(RETRIES, "this git does not repeat rate-limited requests")
    if value is not None and value.strip().isdigit() and int(value) > 0:
        return ok(RETRIES, f"http.maxRetries is {value}")
    return warn(
        RETRIES,
        "endless-retries",
        "http.maxRetries is 0: this git repeats a rate-limited request without end",
        set_command(found, "http.maxRetries", "1"),
    )
