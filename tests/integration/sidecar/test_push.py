"""Real pushes whose token dies, with git's own client and the sidecar behind it."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from tests.fakes.agent import Result
from tests.fakes.sidecar import SidecarProcess, socket_directory
from tests.integration.test_git_push import (
    GITS,
    NEWER_GIT,
    RevokeAfterAdvertisement,
    Town,
    make_town,
    version,
)

# What git 2.47.3 said to a sidecar's socket in one push whose token died before the pack.
ASKED = """action=get
timeout=900
capability[]=authtype
capability[]=state
protocol=http
host={host}
path=acme/app.git
wwwauth[]=Basic realm="playground forge"

"""
ASKED_AGAIN = """action=get
timeout=900
capability[]=authtype
capability[]=state
ephemeral=1
protocol=http
host={host}
path=acme/app.git
username=x-access-token
password_expiry_utc={expiry}
wwwauth[]=Basic realm="playground forge"
state[]={state}

"""


class SidecarTown:
    """A town whose agent has no secret and no helper but git's cache client."""

    def __init__(self, town: Town, sidecar: SidecarProcess) -> None:
        self.town = town
        self.sidecar = sidecar

    def why(self) -> str:
        """What the sidecar says about the repository."""
        return self.sidecar.question("why", url=self.town.forge.url_of("acme/app"))


@pytest.fixture
def make(tmp_path, launcher):
    """Makes such a town, with what happens at its forge."""
    with ExitStack() as stack:

        def build(**more):
            town = stack.enter_context(make_town(tmp_path / "town", launcher, **more))
            directory = stack.enter_context(socket_directory())
            settings = take_settings(town.agent.environ)
            sidecar = stack.enter_context(SidecarProcess(directory, settings))
            config = town.agent.gitconfig.read_text().partition("[credential]")[0]
            helper = f"[credential]\n\thelper = cache --socket={sidecar.socket}\n"
            town.agent.gitconfig.write_text(f"{config}{helper}\tuseHttpPath = true\n")
            return SidecarTown(town, sidecar)

        yield build


def take_settings(environ: dict[str, str]) -> dict[str, str]:
    """What an agent has of ours, taken away from it."""
    names = ("CLOUD_API_URL", "WORKSPACE_ID", "WORKSPACE_TOKEN")
    moved = [name for name in environ if name in names or "CREDENTIAL_RELAY" in name]
    return {name: environ.pop(name) for name in moved}


@pytest.mark.parametrize("git", GITS)
def test_clone_and_push(make, git):
    """One token serves both, and the agent's environment has no secret."""
    town = make().town
    directory = town.clone(git=git)
    commit = town.commit(directory)
    pushed = town.push(directory, git)

    assert (pushed.exit_code, pushed.stderr) == (0, "")
    assert town.forge.commit_of("acme/app") == commit
    assert len(town.cloud.answers) == 1
    assert town.cloud.workspace_secret not in str(town.agent.environ)


@pytest.mark.parametrize("git", GITS)
def test_token_dies_between_advertisement_and_push(make, git):
    """Newer git recovers in the same push; an old one fails it, `why` explains that, and the
    next push works."""
    revoke = RevokeAfterAdvertisement()
    served = make(at_forge=revoke)
    town = served.town
    directory = town.clone(git=git)
    commit = town.commit(directory)
    revoke.forge = town.forge
    first = town.push(directory, git)
    why = served.why()
    recovered = first if first.exit_code == 0 else town.push(directory, git)

    assert first.exit_code == (0 if version(git) >= (2, 46) else 1), first.stderr
    assert first.exit_code == 0 or "[token-refused]" in why
    assert (recovered.exit_code, recovered.stderr) == (0, "")
    assert town.forge.commit_of("acme/app") == commit
    assert len(set(town.vended())) == 2
    assert town.cloud.vends[1].rejected_sha256 == town.vended()[0]


def test_the_same_exchange_by_recorded_bytes(make):
    """What newer git says over the socket, where there is none: the state of the first answer
    brings another token, and the API hears which one was refused."""
    served = make()
    town, sidecar = served.town, served.sidecar
    host = town.forge.host
    first = attributes(sidecar.ask(ASKED.format(host=host).encode()))
    state, expiry = first["state[]"], first["password_expiry_utc"]
    again = ASKED_AGAIN.format(host=host, state=state, expiry=expiry)
    second = attributes(sidecar.ask(again.encode()))

    assert first["continue"] == "1"
    assert second["username"] == "x-access-token"
    assert second["password"] != first["password"]
    assert town.cloud.vends[1].rejected_sha256 == town.vended()[0]
    assert len(set(town.vended())) == 2


def attributes(answer: bytes) -> dict[str, str]:
    """The lines of an answer; of a repeated one the last."""
    return dict(line.split("=", 1) for line in answer.decode().splitlines() if line)


def test_a_dead_sidecar_and_a_new_one(make):
    """A push while it is away fails as without a helper; started again it works."""
    served = make()
    town = served.town
    directory = town.clone()
    served.sidecar.kill()
    commit = town.commit(directory)
    failed: Result = town.push(directory)
    served.sidecar.start()
    pushed = town.push(directory)

    assert failed.exit_code == 128
    assert "cache daemon" not in failed.stderr
    assert (pushed.exit_code, pushed.stderr) == (0, "")
    assert town.forge.commit_of("acme/app") == commit


@pytest.mark.newer_git
def test_a_token_refused_twice_is_explained(make):
    """When the forge refuses whatever it is shown, git gives up, and `why` has the reason."""

    def revoke(forge, vend):
        forge.tokens.revoke_sha256(vend.token_sha256)

    served = make(at_vend=revoke)
    town = served.town
    result = town.git("clone", "--quiet", town.forge.url_of("acme/app"), git=NEWER_GIT)

    assert result.exit_code == 128
    assert len(town.cloud.vends) == 2
    assert "[token-refused]" in served.why()
