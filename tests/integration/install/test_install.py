"""`install` on scratch root file systems and in a scratch home, with real git."""

from __future__ import annotations

import stat
import subprocess

import pytest

from git_credential_relay.executables import is_launcher
from tests.fakes.installation import (
    ALL_OPTIONS,
    BEFORE,
    CANARY,
    FOREIGN,
    HELPER,
    install,
    tree,
    uninstall,
    values,
)
from tests.fakes.program import run_program


@pytest.mark.parametrize("before", BEFORE.values(), ids=BEFORE)
def test_the_second_install_changes_nothing(root, before):
    """Not a byte, and it says so."""
    for name, content in before.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    install(root, *ALL_OPTIONS)
    once = tree(root)

    assert install(root, *ALL_OPTIONS).startswith("nothing to change\n")
    assert install(root).startswith("nothing to change\n")
    assert tree(root) == once


def test_dry_run_prints_the_same_and_changes_nothing(root):
    """What would be changed is told as when it is, and every file stays."""
    (root / "etc" / "gitconfig").write_text(FOREIGN)
    original = tree(root)
    foretold = install(root, "--dry-run", *ALL_OPTIONS)
    assert tree(root) == original
    told = install(root, *ALL_OPTIONS)
    assert told == foretold

    wired = tree(root)
    foretold = uninstall(root, "--dry-run")
    assert tree(root) == wired
    assert uninstall(root) == foretold


def test_every_change_is_printed_before_and_after(root):
    """Values that others have are shown beside what becomes of them; secrets are not."""
    (root / "etc" / "gitconfig").write_text(FOREIGN)
    told = install(root, "--ssh-to-https")

    assert (
        "/etc/gitconfig: credential.helper\n"
        "  before: store, cache --timeout=300\n"
        f"  after:  store, cache --timeout=300, {HELPER}\n"
    ) in told
    assert "  after:  git@github.com:, ssh://git@github.com/\n" in told
    assert "note: /etc/gitconfig has credential.helper = store: kept for other hosts\n" in told
    assert (
        "credential.https://github.com.helper = !/usr/bin/gh auth git-credential: not asked" in told
    )
    assert CANARY not in told


def test_git_is_told_in_the_documented_way(root):
    """For each host: inherited helpers off, ours by its absolute path, and the path sent."""
    install(root, *ALL_OPTIONS)
    file = root / "etc" / "gitconfig"

    assert values(file, "credential.helper") == [HELPER]
    for host in ("github.com", "gitlab.com", "git.example:8443", "code.example"):
        assert values(file, f"credential.https://{host}.helper") == ["", HELPER]
        assert values(file, f"credential.https://{host}.useHttpPath") == ["true"]
    assert values(file, "http.maxRetries") == ["1"]
    assert values(file, "url.https://github.com/.insteadOf") == [
        "git@github.com:", "ssh://git@github.com/",
    ]  # fmt: skip
    assert values(file, "user.email") == ["ada@example.com"]
    assert values(file, "safe.directory") == []
    assert stat.S_IMODE(file.stat().st_mode) == 0o644


def test_no_file_we_write_holds_a_secret(root):
    """Tokens in other people's configuration stay where they are and go nowhere else."""
    (root / "etc" / "gitconfig").write_text(FOREIGN)
    install(root, *ALL_OPTIONS, GH_TOKEN=CANARY, WORKSPACE_TOKEN=CANARY)
    holders = [path for path in root.rglob("*") if path.is_file() and CANARY in path.read_text()]

    assert holders == [root / "etc" / "gitconfig"]
    assert (root / "etc" / "gitconfig").read_text().count(CANARY) == FOREIGN.count(CANARY)


def test_launchers_take_nothing_from_the_work_tree(root):
    """Each has an absolute interpreter and -I, and everybody may run it."""
    install(root, "--gh", "--python", "/opt/relay/bin/python")
    launchers = sorted((root / "usr" / "local" / "bin").iterdir())

    assert [path.name for path in launchers] == [
        "gh",
        "gh-credential-relay",
        "git-credential-relay",
    ]
    for path in launchers:
        assert path.read_text().startswith("#!/opt/relay/bin/python -I\n")
        assert stat.S_IMODE(path.stat().st_mode) == 0o755


@pytest.mark.parametrize(
    ("there", "arguments", "is_in_front"),
    [
        (None, [], False),
        (None, ["--gh"], True),
        ("usr/bin/gh", [], True),
        ("usr/bin/gh", ["--no-gh"], False),
        ("usr/local/bin/gh", [], True),
    ],
)
def test_ours_goes_in_front_of_gh_when_there_is_one(root, there, arguments, is_in_front):
    """Or when somebody says that there will be; a script that looks for gh is not misled."""
    if there:
        (root / there).parent.mkdir(parents=True, exist_ok=True)
        (root / there).write_text("real")
        (root / there).chmod(0o755)
    install(root, *arguments)

    assert is_launcher(str(root / "usr" / "local" / "bin" / "gh")) is is_in_front
    if there and is_in_front:
        aside = root / (f"{there}.displaced" if "local" in there else there)
        assert aside.read_text() == "real"


def test_a_derived_image_adds_to_its_base(root):
    """A second install with more hosts keeps those of the first, for git and for the helper."""
    install(root, "--host", "one.example", "--ssh-to-https")
    install(root, "--host", "gitlab=two.example")
    file = root / "etc" / "gitconfig"

    for host in ("one.example", "two.example"):
        assert values(file, f"credential.https://{host}.helper") == ["", HELPER]
        assert values(file, f"url.https://{host}/.insteadOf") != []
    settings = (root / "etc" / "git-credential-relay" / "relay.env").read_text().splitlines()
    assert (
        "GIT_CREDENTIAL_RELAY_HOSTS=github=https://one.example,gitlab=https://two.example"
        in settings
    )


def test_hosts_that_others_configured_stay_known(root):
    """Our line in relay.env, which wins, repeats the hosts of the line before it."""
    relay_env = root / "etc" / "git-credential-relay" / "relay.env"
    relay_env.parent.mkdir()
    relay_env.write_text("GIT_CREDENTIAL_RELAY_HOSTS=theirs.example\nWORKSPACE_TOKEN=s3cret\n")
    relay_env.chmod(0o600)
    install(root, "--host", "ours.example")
    done = run_program("config", GIT_CREDENTIAL_RELAY_CONFIG=str(relay_env))

    assert "https://theirs.example (github), https://ours.example (github)" in done.stdout
    assert stat.S_IMODE(relay_env.stat().st_mode) == 0o600


def test_the_block_returns_to_the_end(root):
    """Git reads in order: what somebody appended after our reset is brought in front of it."""
    file = root / "etc" / "gitconfig"
    install(root)
    with file.open("a") as stream:
        stream.write("[credential]\n\thelper = store\n")
    install(root)

    listed = file.read_text()
    assert listed.index("helper = store") < listed.index("# begin git-credential-relay")


def test_for_yourself(tmp_path, monkeypatch):
    """--global wires the user's own file, with launchers in ~/.local/bin, and back."""
    home = tmp_path / "home"
    monkeypatch.delenv("GIT_CONFIG_GLOBAL")
    (home / ".gitconfig").write_text("[credential]\n\thelper = store\n")
    original = tree(home)
    done = run_program("install", "--global", "--host", "git.example")
    assert (done.returncode, done.stderr) == (0, "")
    helper = str(home / ".local" / "bin" / "git-credential-relay")

    assert values(home / ".gitconfig", "credential.https://git.example.helper") == ["", helper]
    assert values(home / ".gitconfig", "credential.helper") == ["store", helper]
    assert subprocess.run([helper, "--version"], check=False, capture_output=True).returncode == 0
    relay_env = home / ".config" / "git-credential-relay" / "relay.env"
    assert "git.example" in relay_env.read_text()
    assert run_program("uninstall", "--global").returncode == 0
    assert tree(home) == original
