"""The container's entrypoint knows the settings that the program has."""

import subprocess
from pathlib import Path

from git_credential_relay.settings import FALLBACK_SOURCES, SETTINGS

ENTRYPOINT = Path(__file__).parents[2] / "entrypoint/git-credential-relay-entrypoint"


def test_every_setting_is_handed_on():
    """The entrypoint writes each setting under each of its names, but for the forges' own tokens;
    nothing else of the environment is taken for one."""
    script = ENTRYPOINT.read_text()
    head = script[: script.index("\nsay()")] + "\nprintf '%s\\n' $names"
    tokens = [name for s in SETTINGS if s.name in FALLBACK_SOURCES for name in s.names]
    wanted = [name for s in SETTINGS if s.name not in FALLBACK_SOURCES for name in s.names]
    environ = dict.fromkeys((*wanted, *tokens, "HOME", "MY_GH_HOST", "GH_HOSTNAME"), "x")
    done = subprocess.run(
        ["sh", "-c", head], env=environ, stdout=subprocess.PIPE, text=True, check=True, timeout=10
    )

    assert sorted(done.stdout.split()) == sorted(wanted)


def test_entrypoint_is_short():
    """What runs as root in every container can be read in a few minutes."""
    assert len(ENTRYPOINT.read_text().splitlines()) <= 133
