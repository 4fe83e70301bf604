"""What gh is called for: its arguments, read just far enough to choose a token. Pure.

gh reads its arguments itself afterwards. A mistake here costs a token of the wrong repository, or
none; it cannot send one to another host, since gh binds what we give it to the host we chose.
Source: `gh help reference` of gh 2.23 and 2.102; flags as spf13/pflag reads them.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
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
# gh's own commands, whose flags we know; any other word is an alias or an extension.
_COMMANDS = frozenset(
    {"agent-task", "api", "attestation", "auth", "browse", "cache", "co", "codespace"}
    | {"discussion", "gist", "issue", "label", "org", "pr", "preview", "project", "release"}
    | {"repo", "ruleset", "run", "search", "secret", "skill", "status", "variable", "workflow"}
)
# Flags whose value may look like the argument we look for, or like a flag.
_FLAGS_WITH_VALUE = (
    "-A -B -D -F -H -L -O -S -T -X -a -b -c -d -e -f -g -i -j -k -l -m -n -o -p -q -r -s -t -u -v"
    " --add-assignee --add-blocked-by --add-blocking --add-label --add-project --add-reviewer"
    " --add-sub-issue --add-topic --after --app --assignee --attach --attempt --author"
    " --author-email --base --blocked-by --blocking --body --body-file --branch --branch-repo"
    " --cache --category --color --comment --commit --default-branch --description --dir"
    " --duplicate-of --exclude --field --fork-name --gitignore --head --header --homepage --input"
    " --issue-repo --job --jq --json --label --language --license --limit --match-head-commit"
    " --mention --method --milestone --name --notes --order --org --output --parent --pattern"
    " --preview --project --raw-field --reason --recover --ref --remote --remote-name"
    " --remove-assignee --remove-blocked-by --remove-blocking --remove-label --remove-project"
    " --remove-reviewer --remove-sub-issue --remove-topic --reviewer --search --sort --source"
    " --squash-merge-commit-message --state --status --subject --team --template --title --topic"
    " --type --upstream-remote-name --user --visibility --workflow --worktree"
)
_VALUE_FLAGS = frozenset(_FLAGS_WITH_VALUE.split())
# Those of them that have no value with these commands.
_SWITCHES = {
    "api": "-i",
    "auth login": "-c",
    "auth refresh": "-c",
    "auth status": "-a -t",
    "browse": "-a -c -n -p -r -s --commit",
    "cache delete": "-a",
    "co": "-f",
    "discussion view": "-c",
    "gist create": "-p",
    "gist view": "-r",
    "issue comment": "-e",
    "issue create": "-e",
    "issue develop": "-c -l",
    "issue new": "-e",
    "issue view": "-c",
    "label clone": "-f",
    "label create": "-f",
    "pr checkout": "-f",
    "pr close": "-d",
    "pr comment": "-e",
    "pr create": "-d -e -f",
    "pr list": "-d",
    "pr ls": "-d",
    "pr merge": "-d -m -r -s",
    "pr new": "-d -e -f",
    "pr revert": "-d",
    "pr review": "-a -c -r --comment",
    "pr status": "-c",
    "pr view": "-c",
    "release create": "-d -p",
    "release new": "-d -p",
    "repo autolink": "-n",
    "repo create": "-c",
    "repo edit": "--template",
    "repo fork": "--remote",
    "repo list": "--source",
    "repo ls": "--source",
    "repo new": "-c",
    "repo set-default": "-u -v",
    "ruleset list": "-p",
    "ruleset view": "-p",
    "run list": "-a",
    "run ls": "-a",
    "run rerun": "-d",
    "run view": "-v",
    "secret delete": "-u --user",
    "secret list": "-u --user",
    "secret set": "-u --user",
    "workflow list": "-a",
    "workflow run": "--json",
}


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
        for name, value in _flags(argument):
            if name in ("-R", "--repo"):
                call.repository = next(rest, "") if value is None else value
            elif name == "--hostname" or (name == "-h" and _is_host(call.words)):
                call.hostname = next(rest, "") if value is None else value
            elif name in ("-h", "--help") and " ".join(call.words[:2]) not in _HOMEPAGE_FLAG:
                return True
            elif not _takes_value(name, call.words):
                continue
            elif value is None:
                next(rest, None)
            break  # what follows in the same argument was the value
    return False


def _flags(argument: str) -> Iterator[tuple[str, str | None]]:
    """The flags in `argument`, each with the value that it would have there, if it takes one.

    Short ones may share a dash: in `-wRo/r`, as in `-wR=o/r`, the R has a value if the w has none.
    """
    if argument.startswith("--"):
        name, equals, value = argument.partition("=")
        yield name, value if equals else None
        return
    for n, letter in enumerate(argument[1:], start=2):
        yield f"-{letter}", argument[n:].removeprefix("=") or None
        if argument[n : n + 1] == "=":
            return


def _is_host(words: Sequence[str]) -> bool:
    return bool(words) and words[0] in _HOST_FLAG


def _takes_value(name: str, words: Sequence[str]) -> bool:
    command = " ".join(words[:1])
    if name == "-h":
        return True  # only asked where it is not for help
    if name not in _VALUE_FLAGS or command not in _COMMANDS:
        return False
    switches = (_SWITCHES.get(known, "") for known in (command, " ".join(words[:2])))
    return all(name not in those.split() for those in switches)


def _subject(words: Sequence[str], command: str, subcommand: str) -> str | None:
    if command == "api":
        return words[1] if len(words) > 1 else None
    for word in words[2:] if command == "repo" else words[1:]:
        if command in _TAKES_URL and "://" in word:
            return word
        if subcommand in _TAKES_REPOSITORY and (word.count("/") in (1, 2) or "@" in word):
            return word
    return None
