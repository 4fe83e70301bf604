"""Everything in a container that talks to a forge, and the forge that is all there is to reach."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from git_credential_relay.demo.forge import PlaygroundForge
from tests.fakes.cloud import SmallCloud
from tests.fakes.lfs import LfsStore
from tests.image.engine import Engine

AGENT, MOUNT = "1000", "/run/git-credential-relay"
PORT = 3000  # in a network of its own every port is free
URL = f"http://127.0.0.1:{PORT}"
MODULES = [f"acme/module-{number}" for number in range(16)]
REPOSITORIES = ["acme/app", "acme/large", *MODULES]
# Everything that talks to the forge; $1 is its address, $2 what the branches are called.
ALL_OF_GIT = """\
set -eu
cd "$(mktemp -d)"
commit() { git -c user.name=Agent -c user.email=agent@example.com commit --quiet "$@"; }
git clone --quiet "$1/acme/app.git" app
cd app
commit --allow-empty -m Write
git push --quiet origin "HEAD:refs/heads/$2-push"
git worktree add --quiet -b "$2-other" ../other
cd ../other
for number in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
    git config -f .gitmodules "submodule.m$number.path" "m$number"
    git config -f .gitmodules "submodule.m$number.url" "$1/acme/module-$number.git"
    head=$(git ls-remote "$1/acme/module-$number.git" refs/heads/main)
    git update-index --add --cacheinfo "160000,${head%%?refs*},m$number"
done
git add .gitmodules
commit -m Modules
git push --quiet origin "HEAD:refs/heads/$2-worktree"
git clone --quiet --branch "$2-worktree" --recurse-submodules --jobs 16 "$1/acme/app.git" ../deep \\
    >/dev/null
ls ../deep/m*/README.md | wc -l
cd ../deep/m15
commit --allow-empty -m Write
git push --quiet origin "HEAD:refs/heads/$2-module"
git clone --quiet "$1/acme/large.git" ../../large
cd ../../large
git lfs track '*.bin' >/dev/null
for number in 1 2 3; do echo "large object $number of $2" >"$number.bin"; done
git add .
commit -m Large
git push --quiet origin "HEAD:refs/heads/$2-large" >/dev/null
git clone --quiet --branch "$2-large" "$1/acme/large.git" ../large-again
cat ../large-again/*.bin
"""
_names = (f"run-{number}" for number in itertools.count(1))


@dataclass
class Forge:
    """A forge that is all there is in the network of the container `holder`."""

    forge: PlaygroundForge
    lfs: LfsStore
    holder: str

    @property
    def network(self) -> str:
        """The flag for a container that shall be in that network."""
        return f"--network=container:{self.holder}"

    def cloud(self) -> SmallCloud:
        """A cloud with a secret of its own, not started yet."""
        grants = dict.fromkeys(REPOSITORIES, True)
        return SmallCloud(self.forge.tokens, self.forge.host, grants, lifetime_seconds=3600)


def pushes(engine: Engine, alone: Forge, container: str) -> None:
    """All of git works in `container` under `env -i`, as an agent whom nobody gave a variable."""
    name = next(_names)
    done = engine.execute(
        container, "env", "-i", "sh", "-c", ALL_OF_GIT, "sh", URL, name, flags=(f"--user={AGENT}",)
    )
    assert (done.exit_code, done.stderr) == (0, "")
    large = [f"large object {number} of {name}" for number in (1, 2, 3)]
    assert done.lines == ["16", *large], done.stdout
    for branch in ("push", "worktree"):
        assert alone.forge.commit_of("acme/app", f"{name}-{branch}")
    assert alone.forge.commit_of("acme/module-15", f"{name}-module")
    assert alone.forge.commit_of("acme/large", f"{name}-large")
    assert {f"{line}\n" for line in large} <= set(alone.lfs.objects.values())


def wait_for_sidecar(engine: Engine, container: str) -> None:
    """Ask until the sidecar answers; ten seconds at most."""
    ask = f"printf 'relay=status\\n\\n' | git credential-cache --socket={MOUNT}/git.sock get"
    script = f'for _ in $(seq 100); do [ -z "$({ask})" ] || exit 0; sleep 0.1; done; exit 1'
    done = engine.execute(container, "sh", "-c", script, flags=(f"--user={AGENT}",))
    assert done.exit_code == 0, done.stderr
