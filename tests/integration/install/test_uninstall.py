"""`uninstall` brings back what was there, whatever has happened since."""

from __future__ import annotations

import json
import os
import stat
import subprocess

import pytest

from git_credential_relay.executables import is_launcher
from tests.fakes.installation import (
    ALL_OPTIONS,
    BEFORE,
    HELPER,
    MANIFEST,
    install,
    tree,
    uninstall,
    values,
)
from tests.fakes.program import run_program


@pytest.mark.parametrize("options", [[], ALL_OPTIONS], ids=["plain", "all-options"])
@pytest.mark.parametrize("before", BEFORE.values(), ids=BEFORE)
def test_uninstall_restores_exactly_what_was_there(root, before, options):
    """Every file, mode, owner and directory is as before; nothing of ours is left."""
    for name, content in before.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        path.chmod(0o640 if name.endswith("relay.env") else 0o755)
    original = tree(root)
    install(root, *options)
    assert tree(root) != original
    uninstall(root)

    assert tree(root) == original


def test_what_git_wrote_into_our_sections_is_kept(root):
    """`git config` puts a key into the section it finds; that one is not ours to take away."""
    install(root)
    file = root / "etc" / "gitconfig"
    command = ["git", "config", "--file", str(file)]
    subprocess.run([*command, "http.proxy", "http://proxy.example"], check=True)
    subprocess.run([*command, "--add", "credential.https://github.com.helper", "store"], check=True)
    assert "kept what others wrote" in install(root)
    # Behind ours it would be told our tokens; now it stands in front of the reset.
    assert values(file, "credential.https://github.com.helper") == ["store", "", HELPER]
    uninstall(root)

    assert values(file, "http.proxy") == ["http://proxy.example"]
    assert values(file, "credential.https://github.com.helper") == ["store"]
    assert HELPER not in file.read_text()


def test_what_is_not_ours_any_more_stays(root):
    """A launcher that somebody replaced is left by uninstall, with a word about it."""
    install(root)
    launcher = root / "usr" / "local" / "bin" / "git-credential-relay"
    launcher.write_text("theirs")
    told = uninstall(root)

    assert f"note: {HELPER} is not ours any more and stays" in told
    assert launcher.read_text() == "theirs"


def test_uninstall_without_install(root):
    """Nothing happens, and it says why."""
    original = tree(root)

    assert "nothing is installed here" in uninstall(root)
    assert tree(root) == original


def test_files_that_were_closed_since_stay_closed(root):
    """uninstall does not open what somebody has shut, with a secret in it, after install."""
    relay_env = root / "etc" / "git-credential-relay" / "relay.env"
    relay_env.parent.mkdir()
    for path in (relay_env, root / "etc" / "gitconfig"):
        path.write_text("")
        path.chmod(0o644)
    install(root, "--host", "git.example")
    with relay_env.open("a") as stream:
        stream.write("WORKSPACE_TOKEN=s3cret\n")
    for path in (relay_env, root / "etc" / "gitconfig"):
        path.chmod(0o600)
    uninstall(root)

    assert relay_env.read_text() == "WORKSPACE_TOKEN=s3cret\n"
    for path in (relay_env, root / "etc" / "gitconfig"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def lose_the_end(text: str) -> str:
    """What `git config --remove-section` leaves of the section that stands last."""
    return text.replace("# end git-credential-relay\n", "")


@pytest.mark.parametrize(
    "damage",
    [lose_the_end, lambda text: text.replace("\n", "\r\n"), lambda text: text.replace("# ", "; ")],
    ids=["no-end", "dos-lines", "no-marks"],
)
def test_a_block_whose_marks_are_lost_is_found_all_the_same(root, damage):
    """Entry by entry: nothing of ours stays in force when the launchers are gone, and a second
    install leaves one of each."""
    file = root / "etc" / "gitconfig"
    file.write_text("[user]\n\tname = x\n")
    install(root)
    file.write_text(damage(file.read_text()), newline="")
    install(root, "--host", "git.example")
    assert values(file, "credential.https://github.com.helper") == ["", HELPER]
    file.write_text(damage(file.read_text()), newline="")
    uninstall(root)

    listed = subprocess.run(
        ["git", "config", "--file", file, "--list"], capture_output=True, check=True
    )
    assert listed.stdout.split() == [b"user.name=x"]


def test_what_others_add_among_our_settings_is_kept(root):
    """A line that somebody writes into our block of relay.env is not ours to take away."""
    install(root, "--host", "git.example")
    relay_env = root / "etc" / "git-credential-relay" / "relay.env"
    text = relay_env.read_text()
    relay_env.write_text(text.replace("# end", "WORKSPACE_ID=mine\n# end"))
    assert "kept what others wrote" in uninstall(root)

    assert relay_env.read_text() == "WORKSPACE_ID=mine\n"


def test_a_broken_record_is_named(root):
    """Nothing is guessed where the record of the installation cannot be read."""
    install(root)
    (root / MANIFEST).write_text(json.dumps({"version": 99}))
    done = run_program("uninstall", "--root", str(root))

    assert done.returncode == 1
    assert "[bad-manifest]" in done.stderr


def test_a_line_end_is_taken_back_only_where_nothing_follows(root):
    """What somebody wrote behind our block does not end up on the line before it."""
    file = root / "etc" / "gitconfig"
    file.write_text("[user]\n\tname = x")
    install(root)
    with file.open("a") as stream:
        stream.write("[core]\n\tpager = less\n")
    uninstall(root)

    assert file.read_text() == "[user]\n\tname = x\n[core]\n\tpager = less\n"


def test_gh_can_be_left_again(root):
    """A later --no-gh takes our gh away and brings the real one back."""
    (root / "usr" / "local" / "bin" / "gh").write_text("real")
    (root / "usr" / "local" / "bin" / "gh").chmod(0o755)
    install(root)
    install(root)
    install(root, "--no-gh")

    assert (root / "usr" / "local" / "bin" / "gh").read_text() == "real"
    assert not (root / "usr" / "local" / "bin" / "gh.displaced").exists()


def test_a_renewed_program_in_our_place_is_kept_too(root):
    """A package that writes its gh over ours is displaced anew, and comes back in the end."""
    gh = root / "usr" / "local" / "bin" / "gh"
    for version in ("old", "new"):
        gh.write_text(version)
        gh.chmod(0o755)
        install(root)
        assert is_launcher(str(gh))
    uninstall(root)

    assert gh.read_text() == "new"
    assert sorted(os.listdir(gh.parent)) == ["gh"]
