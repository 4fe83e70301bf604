"""What gh is called for: its arguments, read just far enough to choose a token. Pure.

gh reads its arguments itself afterwards. A mistake here costs a token of the wrong repository, or
none; it cannot send one to another host, since gh binds what we give it to the host we chose.
Source: `gh help reference` of gh 2.23 and 2.102; flags as spf13/pflag reads them.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

# What to do for a call.
PLAIN = "plain"  # run gh as it is: it needs no token, or refuses to work with one in GH_TOKEN
TOKEN = "token"  # noqa: S105 - run gh with a token
GIT_CREDENTIAL = "git-credential"  # answer git
SETUP_GIT = "setup-git"  # git is set up already, and gh would undo that

_NEEDS_NO_TOKEN = frozenset(
    {"help", "version", "completion", "__complete", "__completeNoDesc", "config", "alias"}
    | {"licenses", "actions", "environment", "exit-codes", "formatting", "mintty", "reference"}
    | {"accessibility"}
)
_AUTH = {
    "status": TOKEN,
    "token": TOKEN,
    "git-credential": GIT_CREDENTIAL,
    "setup-git": SETUP_GIT,
}
# Commands that are not about the repository of the current directory.
_ABOUT_NO_REPOSITORY = frozenset(
    {"gist", "search", "org", "status", "ssh-key", "gpg-key", "project", "gists"}
    | {"extension", "extensions", "ext", "skill"}
    | {"repo clone", "repo create", "repo new", "repo list", "repo ls", "repo gitignore"}
    | {"repo license"}
)
# Commands whose argument may be a repository, as [HOST/]OWNER/NAME or as a URL.
_TAKES_REPOSITORY = frozenset(
    {"repo clone", "repo view", "repo fork", "repo sync", "repo edit", "repo delete"}
    | {"repo archive", "repo unarchive", "repo set-default"}
)
# Commands whose argument may be the URL of something in a repository.
_TAKES_URL = frozenset(("pr", "issue", "repo", "browse", "co", "discussion", "run"))
# Here `-h` is a short flag with a value; everywhere else it asks for help.
_HOST_FLAG = frozenset(("auth", "config"))
_HOMEPAGE_FLAG = frozenset(("repo edit", "repo create", "repo new"))
# Flags whose value may look like the argument we look for.
_VALUE_FLAGS = frozenset(
    {"--body", "--body-file", "--title", "--template", "--comment", "--subject", "--recover"}
    | {"--base", "--head", "--branch", "--source", "--homepage", "--default-branch", "--notes"}
    | {"--upstream-remote-name", "--remote-name", "--jq", "--description", "--commit"}
    | {"-b", "-t", "-F", "-T", "-c", "-u", "-B", "-H", "-q"}
)
_API_VALUE_FLAGS = frozenset(
    {"--field", "--raw-field", "--header", "--method", "--input", "--jq", "--template"}
    | {"--preview", "--cache", "-f", "-F", "-H", "-X", "-q", "-t", "-p"}
)


class Call:
    """One call of gh.

    `kind` says what to do for it. `repository` is what -R says; `hostname` what --hostname says.
    `subject` is the argument that names a repository or something in one: `O/R`, `H/O/R`, a URL,
    or the path of an API request. `is_about_here` tells whether the current directory's
    repository counts when nothing else is said.
    """

    __slots__ = ("hostname", "is_about_here", "kind", "repository", "subject", "words")

    def __init__(self, arguments: Sequence[str]) -> None:
        self.words: Final[list[str]] = []
        self.repository: str | None = None
        self.hostname: str | None = None
        wants_help = _read(arguments, self)
        command = self.words[0] if self.words else ""
        subcommand = " ".join(self.words[:2])
        self.kind: Final = PLAIN if wants_help else _kind(self.words)
        self.is_about_here: Final = not {command, subcommand} & _ABOUT_NO_REPOSITORY
        self.subject: Final = _subject(self.words, command, subcommand)


def _kind(words: Sequence[str]) -> str:
    if not words or words[0] in _NEEDS_NO_TOKEN:
        return PLAIN
    if words[0] != "auth":
        return TOKEN
    return _AUTH.get(words[1], PLAIN) if len(words) > 1 else PLAIN


def _read(arguments: Sequence[str], call: Call) -> bool:
    """Sort `arguments` into words and flags; whether help is asked for."""
    rest = iter(arguments)
    for argument in rest:
        if argument == "--":
            break
        if not argument.startswith("-") or argument == "-":
            call.words.append(argument)
            continue
        name, equals, value = argument.partition("=")
        if name.startswith("-R") and not argument.startswith("--"):
            call.repository = argument[2:].removeprefix("=") or next(rest, "")
        elif name == "--repo":
            call.repository = value if equals else next(rest, "")
        elif name == "--hostname" or (name == "-h" and call.words[:1] and _is_host(call.words)):
            call.hostname = value if equals else next(rest, "")
        elif argument in ("-h", "--help") and " ".join(call.words[:2]) not in _HOMEPAGE_FLAG:
            return True
        elif not equals and (name == "-h" or name in _value_flags(call.words)):
            next(rest, None)
    return False


def _is_host(words: Sequence[str]) -> bool:
    return words[0] in _HOST_FLAG


def _value_flags(words: Sequence[str]) -> frozenset[str]:
    return _API_VALUE_FLAGS if words[:1] == ["api"] else _VALUE_FLAGS


def _subject(words: Sequence[str], command: str, subcommand: str) -> str | None:
    if command == "api":
        return words[1] if len(words) > 1 else None
    for word in words[2:] if command == "repo" else words[1:]:
        if command in _TAKES_URL and "://" in word:
            return word
        if subcommand in _TAKES_REPOSITORY and (word.count("/") in (1, 2) or "@" in word):
            return word
    return None
