"""The container's entrypoint knows the settings that the program has."""

import subprocess
from pathlib import Path

from git_credential_relay.settings import FALLBACK_SOURCES, PREFIX, SETTINGS

ENTRYPOINT = Path(__file__).parents[2] / "entrypoint/git-credential-relay-entrypoint"


def test_every_setting_is_handed_on():
    """The entrypoint writes each setting under each of its names, but for the forges' own tokens
    and the one that names another file."""
    script = ENTRYPOINT.read_text()
    head = script[: script.index("\ndone\n")] + "\ndone\nprintf '%s\\n' $names"
    done = subprocess.run(
        ["sh", "-c", head], env={}, stdout=subprocess.PIPE, text=True, check=True, timeout=10
    )
    wanted = [
        name
        for setting in SETTINGS
        if setting.name not in (*FALLBACK_SOURCES, PREFIX + "CONFIG")
        for name in setting.names
    ]

    assert sorted(done.stdout.split()) == sorted(wanted)


def test_entrypoint_is_short():
    """What runs as root in every container can be read in a minute."""
    assert len(ENTRYPOINT.read_text().splitlines()) <= 60
