"""`why`: what is told of what went wrong, to whom it concerns and in words that steer nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from git_credential_relay.credential.attributes import parse, serialize
from git_credential_relay.credential.forge import Target
from git_credential_relay.errors import (
    DeniedError,
    NoCredentialError,
    ProtocolError,
    SidecarError,
    TransportError,
)
from git_credential_relay.relay.cache_socket.message import Message
from git_credential_relay.relay.sidecar.record import Use, answered, failed
from git_credential_relay.relay.sidecar.why import ago, text, told, why
from git_credential_relay.relay.sidecar.workspace import ServedWorkspace
from git_credential_relay.trace import Trace
from tests.fakes.configs import GITHUB_COM, api_config
from tests.fakes.credentials import credential
from tests.fakes.fake_clock import START, FakeClock

APP = Target(GITHUB_COM, "acme/app")
LIB = Target(GITHUB_COM, "acme/lib")
NOW = START + 1000
DENIED = DeniedError("the workspace may not have it", hint="ask Ada")


def workspace(name: str = "default", **variables: str) -> ServedWorkspace:
    """A workspace that serves github.com, gitlab.com and a forge on loopback."""
    config = api_config(**{"GIT_CREDENTIAL_RELAY_HOSTS": "http://127.0.0.1:3000"} | variables)
    return ServedWorkspace(name, config, FakeClock().clock, Trace())


def trouble(served: ServedWorkspace, target: Target, error=DENIED, at: float = NOW - 5) -> Use:
    """Let the last thing that happened for `target` be `error`."""
    use = served.record.asked(target, at)
    failed(use, error, at)
    return use


def ask(*served: ServedWorkspace, now=NOW, **about):
    """The lines that answer a question about these attributes."""
    message = Message("get", [("relay", "why"), *about.items()])
    return why(served, message, now).decode().splitlines()


def test_what_went_wrong_is_told_as_the_helper_would_tell_it():
    """For the repository that is asked about: when, and the very lines of the failure."""
    served = workspace()
    trouble(served, APP)

    assert ask(served, url="https://github.com/acme/app.git") == [
        "https://github.com/acme/app (git): this went wrong 5 s ago",
        "git-credential-relay: error: the workspace may not have it [denied] (hint: ask Ada;"
        " trying again before that will not help)",
    ]


def test_what_is_over_is_said_to_be():
    """A later answer does not hide what was; it says that it is over."""
    served = workspace()
    use = trouble(served, APP)
    answered(use, credential("tok"), NOW - 2)

    first, second = ask(served, protocol="https", host="github.com", path="acme/app")
    assert first.endswith("went wrong 5 s ago, and is over: a token was given 2 s ago")
    assert "[denied]" in second


def test_no_trouble_is_an_answer():
    """Somebody who asks about a repository without trouble hears that, and how it is used."""
    served = workspace()
    answered(served.record.asked(APP, NOW), credential("tok"), NOW - 200)

    assert ask(served, url="https://github.com/acme/app") == [
        "https://github.com/acme/app (git): no trouble; a token was given 3 min ago"
    ]
    assert ask(served, url="https://github.com/acme/lib") == [
        "https://github.com/acme/lib: nobody has asked for it"
    ]
    assert ask(served) == [
        "no trouble; workspace default serves 127.0.0.1:3000, github.com, gitlab.com"
    ]


def test_the_use_without_a_repository_concerns_every_one():
    """Git without useHttpPath, and gh, name no repository: their trouble may be this one's."""
    served = workspace()
    trouble(served, Target(GITHUB_COM, None, "api"))
    trouble(served, LIB)

    lines = ask(served, url="https://github.com/acme/app")
    assert lines[0].startswith("https://github.com (api): this went wrong")
    assert not any("acme/lib" in line for line in lines)
    assert (
        len([line for line in ask(served, url="https://github.com") if "went wrong" in line]) == 2
    )


def test_without_a_name_it_is_the_latest_trouble_that_is_not_over():
    """One that is over counts only where no other is left."""
    served = workspace()
    trouble(served, APP, at=NOW - 60)
    use = trouble(served, LIB, at=NOW - 10)
    answered(use, credential("tok"), NOW - 5)

    assert ask(served)[0].startswith("https://github.com/acme/app (git): this went wrong 60 s ago")


def test_the_remotes_of_a_work_tree_come_first():
    """Of remotes those that somebody has asked for are told; of none, the latest trouble is."""
    served = workspace()
    trouble(served, LIB, at=NOW - 3)
    answered(served.record.asked(APP, NOW), credential("tok"), NOW - 1)

    def about(*remotes):
        message = Message("get", [("relay", "why"), *(("remote[]", r) for r in remotes)])
        return why([served], message, NOW).decode().splitlines()

    assert about("github.com/acme/app", "elsewhere.example/a/b") == [
        "https://github.com/acme/app (git): no trouble; a token was given 1 s ago"
    ]
    unknown = about("github.com/acme/new")
    assert unknown[0] == "https://github.com/acme/new: nobody has asked for it"
    assert unknown[1].startswith("https://github.com/acme/lib (git): this went wrong")
    assert about("elsewhere.example/a/b")[1].startswith("https://github.com/acme/lib")
    assert about("127.0.0.1:3000/a/b")[0] == "http://127.0.0.1:3000/a/b: nobody has asked for it"


def test_remotes_at_other_hosts_are_said_to_be():
    """A work tree whose forge the sidecar was not told of: that is why git gets nothing."""
    remotes = ("git.example.org/a/b", "git.example.org/a/c", "\x1b[2J/x/y")
    message = Message("get", [("relay", "why"), *(("remote[]", r) for r in remotes)])
    lines = why((workspace(),), message, NOW).decode().splitlines()

    assert lines[0] == "git.example.org: not served here"
    assert lines[-1].startswith("no trouble; workspace default serves 127.0.0.1:3000, github.com")
    assert len(lines) == 3
    assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://evil.example/a/b", "https://evil.example: not served here; workspace default"),
        ("http://github.com/a/b", "http://github.com: not served here;"),
        ("https://github.com/acme", "github.com/acme: not the path of a repository"),
        ("https://x:y@github.com/a/b", "must not carry a user name or password"),
        ("git@github.com:a/b", "not an http or https URL"),
    ],
)
def test_what_is_not_served_is_said_to_be(url, words):
    """One line says which part of the name is not ours; none is an empty answer."""
    [line] = ask(workspace(), url=url)

    assert words in line
    assert "x:y" not in line


def test_a_second_helper_tells_only_what_happened_just_now():
    """With format=stderr the answer is the helper's lines, or nothing at all."""
    served = workspace()
    use = trouble(served, APP)
    assert use.trouble is not None
    about = {"format": "stderr", "protocol": "https", "host": "github.com"}

    assert ask(served, path="acme/app.git", **about) == list(use.trouble.lines)
    assert ask(served, path="acme/lib.git", **about) == []
    assert ask(served, path="acme/app.git", now=NOW + 60, **about) == []
    assert ask(served, **{**about, "host": "evil.example"}) == []
    assert ask(served, **{**about, "url": "nonsense"}) == []
    assert ask(served, format="stderr") == []
    answered(use, credential("tok"), NOW)
    assert ask(served, path="acme/app.git", **about) == []


def test_of_several_workspaces_each_is_told_under_its_name():
    """Whoever may see all of them sees whose trouble it is; a second helper could not know."""
    one, two = workspace("one"), workspace("two")
    trouble(two, APP)

    lines = ask(one, two)
    assert lines[:2] == [
        "workspace one:",
        "no trouble; workspace one serves 127.0.0.1:3000, github.com, gitlab.com",
    ]
    assert lines[2] == "workspace two:"
    assert "[denied]" in lines[4]
    about = {"format": "stderr", "protocol": "https", "host": "github.com", "path": "acme/app"}
    assert ask(two, **about) != []
    assert ask(two, one, **about) == ask(one, two, **about) == []


def test_a_failed_chain_is_told_with_each_source():
    """What the helper lists on stderr is on record line by line."""
    served = workspace()
    sources = [("relay API", TransportError("no way")), ("GH_TOKEN", DENIED)]
    trouble(served, APP, NoCredentialError(str(APP), sources))

    assert "git-credential-relay:   1. relay API - no way [api-unreachable]" in ask(served)


def test_a_refusal_is_the_line_of_an_error():
    """Whoever is not served gets an error as every program here prints it."""
    error = SidecarError("not for you", code="sidecar-refused", retryable=False)

    assert told(error) == (
        b"git-credential-relay: error: not for you [sidecar-refused] (trying again will not help)\n"
    )


def test_many_histories_are_cut():
    """An answer has a size that somebody reads, however many repositories were asked for."""
    served = workspace()
    for number in range(1500):
        trouble(served, Target(GITHUB_COM, f"acme/r{number}"))

    lines = ask(served, url="https://github.com")
    assert len([line for line in lines if "went wrong" in line]) == 100
    assert "acme/r1499 " in lines[0]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "0 s ago"),
        (119, "119 s ago"),
        (120, "2 min ago"),
        (7199, "119 min ago"),
        (7200, "2 h ago"),
    ],
)
def test_ages_are_for_people(seconds, words):
    """Seconds, minutes or hours; a clock that was set back is no negative age."""
    assert ago(NOW - seconds, NOW) == words


EVIL = "\x1b[2J\x07\x9b31m\u202e\u2028\t\r"


def test_nothing_of_a_request_reaches_the_terminal_raw():
    """Escapes, C1 controls, bidirectional marks and line ends of an answer's parts are gone."""
    served = workspace(f"evil{EVIL}")
    trouble(served, APP, DeniedError(f"no{EVIL}", hint=EVIL, details=EVIL))
    answers = why([served, served], Message("get", [("relay", "why")]), NOW).decode()

    assert all(c.isprintable() or c == "\n" for c in answers)
    assert text([f"a{EVIL}b"]).decode().count("\n") == 1


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["url", "protocol", "host", "path", "remote[]", "format", "use"]),
            st.text() | st.sampled_from(["https", "github.com", "acme/app", "stderr", "api", EVIL]),
        ),
        max_size=8,
    )
)
def test_no_question_breaks_it(attributes):
    """Whatever is asked, the answer is printable lines, and holds no escape of the question's."""
    served = workspace()
    trouble(served, APP)
    try:
        message = Message("get", parse(serialize([("relay", "why"), *attributes])))
    except ProtocolError:
        return
    answer = why([served], message, NOW).decode()

    assert answer == "" or answer.endswith("\n")
    assert all(c.isprintable() or c == "\n" for c in answer)
