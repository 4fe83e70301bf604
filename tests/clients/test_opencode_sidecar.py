"""An opencode beside a sidecar: what only holds where the agent has no secret."""

from __future__ import annotations

import json
import os
import shutil

import pytest

from git_credential_relay.demo.forge import ApiAnswer
from git_credential_relay.demo.leaks import find_in_texts, needles_for
from tests.clients.modes import SIDECAR
from tests.clients.opencode import UID, WAYS

pytestmark = pytest.mark.parametrize("machine", [SIDECAR], indirect=True)

CLONE = "git clone --quiet {url} {clone}\n"
HELPERS = "git config --get-all credential.helper\n"
# Whatever the agent's user can read that the machine or the server has: all processes, memory
# files, settings, and what belongs to the user.
READ_ALL = """\
export LC_ALL=C
{
    cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline || :
    find /run /dev/shm /etc /usr/local/bin /usr/local/etc /var/lib/git-credential-relay "$@" \\
        -type f -exec cat {} + || :
} 2>/dev/null | tr -cd '[:print:]\\n'
"""


@pytest.fixture
def api(machine):
    """The forge's API: it tells whoever shows a token that is good which repository that is for."""

    def answer(request):
        token = request.headers.get("authorization", "").partition(" ")[2]
        issued = machine.forge.tokens.find_usable(token)
        if issued is None:
            return ApiAnswer(401, {"message": "Bad credentials"})
        return ApiAnswer(200, {"full_name": ",".join(issued.repositories)})

    machine.forge.api = answer
    yield
    machine.forge.api = None


def test_git_asks_by_its_own_client(run):
    """The first helper is git's own, at the sidecar's socket."""
    first, *_ = run("shell", HELPERS)

    assert first == "cache --socket=/run/git-credential-relay/git.sock"


def test_nothing_that_its_user_can_read_tells(machine, opencode, run):
    """After a clone neither the secret nor a token is in any file or process that the agent's
    user can read, not even from outside the server's own PID namespace."""
    run("agent", CLONE)
    tokens = [issued.token for issued in machine.forge.tokens.issued]
    read = machine.run(READ_ALL, str(opencode.home.parent), uid=UID).stdout

    assert tokens
    assert not find_in_texts([read], needles_for([machine.cloud.workspace_secret, *tokens]))
    # The search is not blind: it has seen the settings, the server's environment, its sessions.
    assert "GIT_CREDENTIAL_RELAY_SOCKET=/run/git-credential-relay/git.sock" in read
    assert "OPENCODE_DISABLE_AUTOUPDATE=1" in read
    assert "git clone --quiet" in read


def test_the_sidecar_is_closed_to_its_user(machine):
    """The secret is in the sidecar's settings, for root alone, and its process shows nothing."""
    secret = machine.cloud.workspace_secret
    look = 'cat "$1" "/proc/$2/environ" "/proc/$2/maps" || ls "/proc/$2/fd/"'
    looked = machine.run(look, machine.settings, str(machine.sidecar), uid=UID)

    assert secret.encode() in machine.as_root("cat", machine.settings)
    assert looked.stdout == ""
    assert looked.stderr.count("Permission denied") == 4, looked.stderr


@pytest.mark.parametrize("way", WAYS)
def test_gh_asks_by_the_sidecar(machine, run, api, way):
    """The real gh behind ours gets an answer from the forge's API, and no token."""
    if shutil.which("gh") is None:
        pytest.skip("gh is not installed")
    script = (
        f"export GH_CONFIG_DIR={machine.gh_settings()} GH_HOST={machine.forge.host}\n"
        "command -v gh; gh api repos/acme/lib 2>&1; echo; env | grep -c TOKEN || :\n"
    )
    *_, path, answered, variables = run(way, script)

    assert path == "/usr/local/bin/gh"
    assert json.loads(answered) == {"full_name": "acme/lib"}
    assert variables == "0"


def test_another_user_gets_nothing(machine):
    """A user that the sidecar is not for gets no token, and is told so."""
    url = machine.forge.url_of("acme/app")
    refused = machine.run(f"GIT_TERMINAL_PROMPT=0 git ls-remote {url}", uid=UID + 1)

    assert os.geteuid() == 0
    assert refused.returncode != 0
    assert "[sidecar-refused]" in refused.stderr
