"""What gh is called for, read from its arguments."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from git_credential_relay.relay.gh.arguments import (
    GIT_CREDENTIAL,
    PLAIN,
    SETUP_GIT,
    TOKEN,
    Call,
)


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("", PLAIN),
        ("--version", PLAIN),
        ("--help", PLAIN),
        ("version", PLAIN),
        ("help pr", PLAIN),
        ("completion -s zsh", PLAIN),
        ("__complete pr list", PLAIN),
        ("__completeNoDesc pr list", PLAIN),
        ("config set -h github.com git_protocol ssh", PLAIN),
        ("alias set x y", PLAIN),
        ("pr list --help", PLAIN),
        ("pr -h", PLAIN),
        ("-R o/r pr list -h", PLAIN),
        ("auth", PLAIN),
        ("auth login", PLAIN),
        ("auth logout", PLAIN),
        ("auth refresh -h github.com", PLAIN),
        ("auth switch", PLAIN),
        ("auth status", TOKEN),
        ("auth status -h github.com", TOKEN),
        ("auth token -h github.com", TOKEN),
        ("auth git-credential get", GIT_CREDENTIAL),
        ("auth setup-git", SETUP_GIT),
        ("auth setup-git --help", PLAIN),
        ("pr list", TOKEN),
        ("api user", TOKEN),
        ("my-extension", TOKEN),
        ("repo edit -h https://home.example", TOKEN),
        ("pr create --body --help", TOKEN),
        ("pr create -- --help", TOKEN),
    ],
)
def test_kind(line, kind):
    """Only calls that use a token are given one; git's questions and set-up are ours."""
    assert Call(line.split()).kind == kind


@pytest.mark.parametrize(
    "line",
    [
        "pr list -R o/r",
        "pr list -Ro/r",
        "pr list -R=o/r",
        "pr list --repo o/r",
        "pr list --repo=o/r",
        "-R o/r pr list",
        "pr -R o/r list",
        "pr list -R x/y --repo o/r",
        "pr list -wR o/r",
        "pr list -wRo/r",
        "pr list -wR=o/r",
        "pr list -w=true -R o/r",
        "pr list -wS https://H/x -R o/r",
    ],
)
def test_repository_flag_in_all_spellings(line):
    """-R counts in every spelling and position; of several the last one."""
    call = Call(line.split())

    assert (call.repository, call.words) == ("o/r", ["pr", "list"])


@pytest.mark.parametrize(
    "line",
    [
        "repo clone a/b -- -R o/r",
        "pr create --title -R --body o/r",
        "pr create -fb -R",
        "pr create -tR",
        "pr list",
    ],
)
def test_what_is_no_repository_flag(line):
    """Behind `--`, and as another flag's value, -R is none."""
    assert Call(line.split()).repository is None


@pytest.mark.parametrize(
    ("line", "hostname"),
    [
        ("api --hostname H user", "H"),
        ("api --hostname=H user", "H"),
        ("auth status -h H", "H"),
        ("auth token -h=H", "H"),
        ("auth status -th H", "H"),
        ("api user", None),
    ],
)
def test_hostname_flag(line, hostname):
    """--hostname counts; so does -h, but only where it is not for help."""
    call = Call(line.split())

    assert (call.hostname, call.kind) == (hostname, TOKEN)


@pytest.mark.parametrize(
    ("line", "subject"),
    [
        ("pr view https://H/o/r/pull/1", "https://H/o/r/pull/1"),
        ("pr view --web https://H/o/r/pull/1", "https://H/o/r/pull/1"),
        ("pr comment --body https://H/o/r 12", None),
        ("pr comment -b https://H/o/r 12", None),
        ("pr comment --body=https://H/o/r 12", None),
        ("pr list --search https://H/o/r", None),
        ("issue list -S https://H/o/r", None),
        ("issue create --milestone https://H/o/r", None),
        ("issue list -m https://H/o/r", None),
        ("pr merge -m https://H/o/r/pull/1", "https://H/o/r/pull/1"),
        ("pr merge -sd https://H/o/r/pull/1", "https://H/o/r/pull/1"),
        ("pr review -c https://H/o/r/pull/1", "https://H/o/r/pull/1"),
        ("pr review --comment https://H/o/r/pull/1", "https://H/o/r/pull/1"),
        ("pr edit 12 --add-project https://H/o/r", None),
        ("pr create -fb https://H/o/r", None),
        ("pr create -fbhttps://H/o/r", None),
        ("pr view -wc https://H/o/r/pull/1", "https://H/o/r/pull/1"),
        ("issue view https://H/o/r/issues/1", "https://H/o/r/issues/1"),
        ("repo clone o/r dir/name", "o/r"),
        ("repo clone -u up/stream o/r", "o/r"),
        ("repo clone H/o/r", "H/o/r"),
        ("repo clone git@H:o/r.git", "git@H:o/r.git"),
        ("repo clone https://H/o/r -- --depth 1", "https://H/o/r"),
        ("repo clone mine", None),
        ("repo view -b feature/x", None),
        ("repo create o/r", None),
        ("api repos/o/r/pulls", "repos/o/r/pulls"),
        ("api -X POST -f a=https://H/x repos/o/r/pulls", "repos/o/r/pulls"),
        ("api -H https://H/x user", "user"),
        ("pr checkout feature/x", None),
        ("gist clone https://gist.github.com/o/1", None),
    ],
)
def test_subject(line, subject):
    """The argument that names a repository is found, and none that only looks like one."""
    assert Call(line.split()).subject == subject


@given(
    st.lists(st.text(alphabet="-Rhabco/=:. ", max_size=8) | st.sampled_from(["pr", "api", "--"]))
)
def test_no_arguments_are_too_odd(arguments):
    """Whatever the arguments are, they are read without an error."""
    call = Call(arguments)

    assert call.kind in (PLAIN, TOKEN, GIT_CREDENTIAL, SETUP_GIT)
