"""What a cache keeps for one key, and its form in git's own attribute format.

One entry holds the token, or the hash of the one that was refused, and the last failure. It
names its whole key, so that a file under a wrong name answers nothing: a token is only ever
given to the host it was issued for. On the warm path.
"""

from __future__ import annotations

from git_credential_relay.credential.attributes import Attributes, last, parse, serialize
from git_credential_relay.credential.credential import Credential
from git_credential_relay.errors import ProtocolError, RelayError
from git_credential_relay.secret import Secret

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from git_credential_relay.credential.forge import Target

# How long a failure answers for all who ask the same: long enough for the parallel fetches of
# one command, short enough to be gone when a person tries again.
TRANSIENT_SECONDS = 3.0
REFUSED_SECONDS = 30.0
# Room for a suffix within the 255 bytes of a file name.
LONGEST_NAME = 240
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-")


class Key:
    """Who asks whom for what: API, workspace, forge, repository, use. Equality only.

    `api` is the API with everything that decides what of its answer is used.
    """

    __slots__ = ("fields",)

    def __init__(self, fields: Attributes) -> None:
        self.fields: Final = fields

    @classmethod
    def of(cls, api: str, workspace_id: str, target: Target) -> Key:
        """The key of `target` for one workspace of one API."""
        return cls(
            [
                ("api", api),
                ("workspace", workspace_id),
                ("forge", target.forge.url),
                ("path", target.repository or ""),
                ("use", target.use),
            ]
        )

    def has_same_forge(self, other: Key) -> bool:
        """Whether both are of one API, workspace and forge, whatever the repository and use."""
        return self.fields[:3] == other.fields[:3]

    def name(self) -> str:
        """A file name of its own for each key: its text with everything else escaped.

        A digest would do as well, and cost more to load than to read the entry.
        """
        text = "\n".join([value for _, value in self.fields])
        name = "".join([c if c in _PLAIN else f"_{ord(c):x}_" for c in text])
        if len(name) <= LONGEST_NAME:
            return name
        from hashlib import blake2b

        return blake2b(serialize(self.fields), digest_size=20).hexdigest()


class Failure:
    """An API failure that answers for a while, so that fifty askers do not each wait for it.

    `mark` tells with which workspace secret it was met, `until` when the API is asked again.
    """

    __slots__ = ("code", "details", "exit_code", "hint", "mark", "message", "retryable", "until")

    def __init__(
        self,
        code: str,
        message: str,
        hint: str | None,
        details: str | None,
        retryable: bool,
        exit_code: int,
        mark: str,
        until: float,
    ) -> None:
        self.code: Final = code
        self.message: Final = message
        self.hint: Final = hint
        self.details: Final = details
        self.retryable: Final = retryable
        self.exit_code: Final = exit_code
        self.mark: Final = mark
        self.until: Final = until

    @classmethod
    def of(cls, error: RelayError, mark: str, now: float) -> Failure:
        """What to remember of `error`: short for a passing trouble, longer for a refusal, and
        as long as the server asked to be left alone."""
        seconds = TRANSIENT_SECONDS if error.retryable else REFUSED_SECONDS
        if error.retry_after:
            seconds = min(max(seconds, error.retry_after), REFUSED_SECONDS)
        return cls(
            error.code,
            error.message,
            error.hint,
            error.details,
            error.retryable,
            error.exit_code,
            mark,
            now + seconds,
        )

    def answers(self, mark: str, now: float) -> bool:
        """Whether it still answers; another secret or a clock set back ends it."""
        return self.mark == mark and now < self.until <= now + REFUSED_SECONDS

    def error(self, now: float) -> RelayError:
        """The remembered error, to be raised again; it says that it is a memory."""
        seconds = max(1, round(self.until - now))
        error = RelayError(
            f"{self.message} (remembered; the API is asked again in {seconds} s)",
            code=self.code,
            hint=self.hint,
            details=self.details,
            retryable=self.retryable,
            retry_after=seconds if self.retryable else None,
        )
        error.exit_code = self.exit_code
        error.is_remembered = True
        return error


class Entry:
    """All that is kept for a key; each part may be absent."""

    __slots__ = ("credential", "failure", "refused_sha256")

    def __init__(
        self,
        credential: Credential | None = None,
        refused_sha256: str | None = None,
        failure: Failure | None = None,
    ) -> None:
        self.credential: Final = credential
        self.refused_sha256: Final = refused_sha256
        self.failure: Final = failure


def dump(key: Key, entry: Entry) -> bytes:
    """The bytes of an entry. Raises ProtocolError for a value that does not fit one line."""
    fields = list(key.fields)
    credential, failure = entry.credential, entry.failure
    if credential is not None:
        fields += [
            ("username", credential.username),
            ("password", credential.password.reveal()),
            ("token_sha256", credential.token_sha256),
            ("fetched_at", repr(credential.fetched_at)),
        ]
        if credential.expires_at is not None:
            fields.append(("password_expiry_utc", str(credential.expires_at)))
    if entry.refused_sha256 is not None:
        fields.append(("refused_sha256", entry.refused_sha256))
    if failure is not None:
        fields += [
            ("failure_code", failure.code),
            ("failure_message", failure.message),
            ("failure_hint", failure.hint or ""),
            ("failure_details", failure.details or ""),
            ("failure_retryable", "1" if failure.retryable else ""),
            ("failure_exit_code", str(failure.exit_code)),
            ("failure_mark", failure.mark),
            ("failure_until", repr(failure.until)),
        ]
    return serialize(fields)


def load(key: Key, data: bytes) -> Entry:
    """The entry in `data`; an empty one when it is damaged, cut short or another key's."""
    try:
        fields = parse(data)
        if not data.endswith(b"\n\n") or fields[: len(key.fields)] != key.fields:
            return Entry()
        return Entry(
            _load_credential(dict(fields)), last(fields, "refused_sha256"), _load_failure(fields)
        )
    except (ProtocolError, ValueError, KeyError):
        return Entry()


def load_key(data: bytes) -> Key | None:
    """The key an entry's bytes belong to; None when they are damaged."""
    try:
        fields = parse(data)[:5]
    except ProtocolError:
        return None
    if [name for name, _ in fields] != ["api", "workspace", "forge", "path", "use"]:
        return None
    return Key(fields)


def _load_credential(fields: dict[str, str]) -> Credential | None:
    if "password" not in fields:
        return None
    expiry = fields.get("password_expiry_utc")
    return Credential(
        fields["username"],
        Secret(fields["password"]),
        token_sha256=fields["token_sha256"],
        fetched_at=float(fields["fetched_at"]),
        expires_at=int(expiry) if expiry else None,
        source="cache",
    )


def _load_failure(pairs: list[tuple[str, str]]) -> Failure | None:
    fields = dict(pairs)
    if "failure_code" not in fields:
        return None
    return Failure(
        fields["failure_code"],
        fields["failure_message"],
        fields["failure_hint"] or None,
        fields["failure_details"] or None,
        bool(fields["failure_retryable"]),
        int(fields["failure_exit_code"]),
        fields["failure_mark"],
        float(fields["failure_until"]),
    )
