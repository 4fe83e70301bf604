"""`install` and `uninstall` on scratch root file systems and in scratch homes, with real git."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
from pathlib import Path

import pytest

from git_credential_relay.executables import is_launcher
from tests.fakes.program import EXECUTABLE, run_program

HELPER = "/usr/local/bin/git-credential-relay"
MANIFEST = "var/lib/git-credential-relay/install.json"
AS_NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
CANARY = "ghp_c4n4ry0123456789abcdefghijklmnop"
FOREIGN = f"""\
# the company's
[credential]
\thelper = store
[credential]
    helper = cache --timeout=300
[credential "https://github.com"]
\thelper = !/usr/bin/gh auth git-credential
[http "https://other.example/"]
\textraheader = "Authorization: Basic {CANARY}"
[url "https://x:{CANARY}@other.example/"]
\tinsteadOf = other:
[alias]
\tx = "!echo \\"quoted\\""
"""


root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can change mounts and users")


@pytest.fixture
def root(tmp_path):
    """The root file system of an image that is being built."""
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "usr" / "local" / "bin").mkdir(parents=True)
    return root


def tree(root: Path) -> dict[str, tuple[object, ...]]:
    """Everything below a directory: type, mode, owner, content."""
    seen: dict[str, tuple[object, ...]] = {}
    for path in sorted(root.rglob("*")):
        info = path.lstat()
        content: object = None
        if path.is_symlink():
            content = os.readlink(path)
        elif path.is_file():
            content = path.read_bytes()
        seen[str(path.relative_to(root))] = (
            stat.S_IFMT(info.st_mode), stat.S_IMODE(info.st_mode), info.st_uid, content,
        )  # fmt: skip
    return seen


def install(root: Path, *arguments: str, **environ: str):
    """Run `install` for a root file system; it must succeed."""
    done = run_program("install", "--root", str(root), *arguments, **environ)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def uninstall(root: Path, *arguments: str):
    """Run `uninstall` for a root file system; it must succeed."""
    done = run_program("uninstall", "--root", str(root), *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def values(file: Path, key: str) -> list[str]:
    """All values that git reads for a key in a file."""
    command = ["git", "config", "--file", str(file), "--null", "--get-all", key]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.split("\0")[:-1]


ALL_OPTIONS = [
    "--host", "gitlab=https://git.example:8443/gitlab", "--host", "forgejo=code.example",
    "--gh", "--ssh-to-https", "--identity", "Ada Lovelace <ada@example.com>",
]  # fmt: skip
BEFORE = {
    "nothing": {},
    "empty-file": {"etc/gitconfig": ""},
    "foreign-helpers": {"etc/gitconfig": FOREIGN},
    "no-last-newline": {"etc/gitconfig": "[user]\n\tname = x"},
    "dos-lines": {"etc/gitconfig": "[user]\r\n\tname = x\r\n"},
    "latin-1": {"etc/gitconfig": b"[user]\n\tname = Andr\xe9\n"},
    "relay-env": {"etc/git-credential-relay/relay.env": "CLOUD_API_URL=https://a.example"},
    "programs-in-our-place": {
        "usr/local/bin/gh": "#!/bin/sh\necho real\n",
        "usr/local/bin/git-credential-relay": "#!/bin/sh\necho pip\n",
        "usr/local/share/man/man1/git-credential-relay.1": "old",
    },
}


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


def test_the_block_returns_to_the_end(root):
    """Git reads in order: what somebody appended after our reset is brought in front of it."""
    file = root / "etc" / "gitconfig"
    install(root)
    with file.open("a") as stream:
        stream.write("[credential]\n\thelper = store\n")
    install(root)

    listed = file.read_text()
    assert listed.index("helper = store") < listed.index("# begin git-credential-relay")


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


def test_a_closed_system_configuration_is_opened(root):
    """With 0600 every git of another user would die of it; uninstall closes it again."""
    file = root / "etc" / "gitconfig"
    file.write_text("[user]\n\tname = x\n")
    file.chmod(0o600)
    told = install(root)
    assert "/etc/gitconfig: mode\n  before: 0600\n  after:  0644\n" in told
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    uninstall(root)

    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "text",
    [
        FOREIGN,
        f"[sendemail]\n\tsmtpPass = {CANARY}\n",
        f"[core]\n\tsshCommand = sshpass -p {CANARY} ssh\n",
        f"[http]\n\tproxy = http://u:{CANARY}@proxy.example\n",
    ],
    ids=["header", "mail", "command", "proxy"],
)
def test_a_closed_system_configuration_with_a_secret_is_refused(root, text):
    """Opening it would show the secret to every agent."""
    file = root / "etc" / "gitconfig"
    file.write_text(text)
    file.chmod(0o600)
    original = tree(root)
    done = run_program("install", "--root", str(root))

    assert done.returncode == 1
    assert "[would-expose-secret]" in done.stderr
    assert CANARY not in done.stderr + done.stdout
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


def test_two_installs_at_once_take_turns(root):
    """Both succeed, both hosts are wired, and uninstall restores what was there."""
    (root / "usr" / "local" / "bin" / "gh").write_text("real")
    (root / "usr" / "local" / "bin" / "gh").chmod(0o755)
    original = tree(root)
    running = [
        subprocess.Popen(
            [EXECUTABLE, "install", "--root", str(root), "--host", host],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for host in ("a.example", "b.example", "c.example")
    ]
    assert [process.communicate()[1] for process in running] == [b"", b"", b""]
    for host in ("a.example", "b.example", "c.example"):
        file = root / "etc" / "gitconfig"
        assert values(file, f"credential.https://{host}.helper") == ["", HELPER]
    uninstall(root)

    assert tree(root) == original


def test_commands_of_others_are_shown_only_when_they_are_harmless(root):
    """A helper may be a shell snippet with a password in it, of whatever look."""
    (root / "etc" / "gitconfig").write_text(
        '[credential]\n\thelper = "!f() { echo password=hunter2; }; f"\n'
    )
    told = install(root) + uninstall(root)

    assert "hunter2" not in told
    assert "(not shown), " in told


def test_what_others_add_among_our_settings_is_kept(root):
    """A line that somebody writes into our block of relay.env is not ours to take away."""
    install(root, "--host", "git.example")
    relay_env = root / "etc" / "git-credential-relay" / "relay.env"
    text = relay_env.read_text()
    relay_env.write_text(text.replace("# end", "WORKSPACE_ID=mine\n# end"))
    assert "kept what others wrote" in uninstall(root)

    assert relay_env.read_text() == "WORKSPACE_ID=mine\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_no_lock(root, number):
    """Otherwise git itself could not write its configuration any more."""
    for milliseconds in range(0, 300, 30):
        process = subprocess.Popen(
            [EXECUTABLE, "install", "--root", str(root)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            process.wait(timeout=milliseconds / 1000 + 0.01)
        except subprocess.TimeoutExpired:
            process.send_signal(number)
        process.wait()
        assert list(root.rglob("*.lock")) == []
        uninstall(root)


def test_the_real_gh_stays_when_ours_cannot_be_written(root):
    """It is moved away only when ours is there to take its place."""
    gh = root / "usr" / "local" / "bin" / "gh"
    gh.write_text("real")
    gh.chmod(0o755)
    (gh.parent / "gh.lock").mkdir()
    done = run_program("install", "--root", str(root))

    assert done.returncode == 1
    assert gh.read_text() == "real"


def test_an_empty_root_is_not_this_machine():
    """`--root "$ROOT"` with an unset variable is a mistake, and touches nothing."""
    done = run_program("install", "--root", "", "--dry-run")

    assert done.returncode == 2
    assert "[usage]" in done.stderr
    assert done.stdout == ""


def test_a_root_with_links_is_not_left(root, tmp_path):
    """An absolute link inside the root leads to a place in the root, not on this machine."""
    (root / "etc" / "gitconfig").symlink_to(tmp_path / "outside")
    (root / "usr" / "local" / "bin").rmdir()
    (root / "usr" / "local" / "bin").symlink_to("/opt/bin")
    original = tree(root)
    install(root)

    assert not (tmp_path / "outside").exists()
    assert (root / "opt" / "bin" / "git-credential-relay").exists()
    uninstall(root)
    assert tree(root) == original


@pytest.mark.parametrize(
    ("arguments", "code", "exit_code"),
    [
        (["--root", "ROOT/absent"], "usage", 2),
        (["--root", "ROOT", "--global"], "usage", 2),
        (["--root", "ROOT", "--host", "https://u:p@h.example"], "usage", 2),
        (["--root", "ROOT", "--host", "http://h.example"], "usage", 2),
        (["--root", "ROOT", "--host", ""], "usage", 2),
        (["--root", "ROOT", "--host", "h.example/*"], "usage", 2),
        (["--root", "ROOT", "--host", "http://[::1"], "usage", 2),
        (["--root", "ROOT", "--identity", "nobody"], "usage", 2),
        (["--root", "ROOT", "--python", "python3"], "usage", 2),
    ],
)
def test_wrong_options_are_one_clear_line(root, arguments, code, exit_code):
    """And nothing has been touched."""
    original = tree(root)
    done = run_program("install", *(a.replace("ROOT", str(root)) for a in arguments))

    assert done.returncode == exit_code
    assert f"[{code}]" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert tree(root) == original


@root_only
def test_without_git(root, tmp_path):
    """Nothing can be written then; the message says what to install."""
    (tmp_path / "empty").write_text("")
    there = [path for path in ("/usr/bin/git", "/usr/local/bin/git") if os.path.exists(path)]
    mounts = [f"mount --bind {tmp_path}/empty {path}" for path in there]
    hide = " && ".join([*mounts, 'exec "$@"'])
    command = [str(EXECUTABLE), "install", "--root", str(root)]
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", hide, "sh", *command],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PATH": "/usr/bin:/usr/sbin:/bin:/sbin"},
    )

    assert "there is no git here [git-missing]" in done.stderr
    assert "apt-get install git" in done.stderr
    assert done.returncode == 1


def test_a_broken_git_configuration_is_named(root):
    """What git cannot parse is not rewritten."""
    (root / "etc" / "gitconfig").write_text("[broken\n")
    original = tree(root)
    done = run_program("install", "--root", str(root))

    assert done.returncode == 1
    assert "[git-failed]" in done.stderr
    assert "bad config line 1" in done.stderr
    assert tree(root) == original


def test_a_broken_record_is_named(root):
    """Nothing is guessed where the record of the installation cannot be read."""
    install(root)
    (root / MANIFEST).write_text(json.dumps({"version": 99}))
    done = run_program("uninstall", "--root", str(root))

    assert done.returncode == 1
    assert "[bad-manifest]" in done.stderr


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


@root_only
def test_ordinary_users_are_told_what_to_do(open_directory, executable):
    """The system's files are root's; the way out is in the message."""
    done = subprocess.run(
        [*AS_NOBODY, str(executable), "install"],
        capture_output=True,
        text=True,
        check=False,
        cwd=open_directory,
    )

    assert done.returncode == 2
    assert "[needs-root]" in done.stderr
    assert "--global" in done.stderr


@root_only
@pytest.mark.parametrize("directory", ["rw", "ro"])
def test_a_bind_mounted_configuration_is_written_in_place(root, tmp_path, directory):
    """Nothing can be renamed over a mount, and its directory may be read-only."""
    (root / "etc" / "gitconfig").write_text("")
    (tmp_path / "mounted").write_text(FOREIGN)
    original = (tmp_path / "mounted").stat().st_ino
    script = f"""
    set -eu
    mount --bind {root}/etc {root}/etc
    mount --bind {tmp_path}/mounted {root}/etc/gitconfig
    mount -o remount,bind,{directory} {root}/etc
    "$@" install --root {root} >/dev/null
    cp {tmp_path}/mounted {tmp_path}/wired
    "$@" uninstall --root {root} >/dev/null
    """
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", str(EXECUTABLE)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert values(tmp_path / "wired", "credential.https://github.com.helper")[-1] == HELPER
    assert (tmp_path / "mounted").read_text() == FOREIGN
    assert (tmp_path / "mounted").stat().st_ino == original


@root_only
def test_somebody_elses_home_is_left_alone(tmp_path):
    """As root with a user's HOME we would follow the links that lie there."""
    home = tmp_path / "home"
    os.chown(home, 65534, 65534)
    done = run_program("install", "--global")

    assert done.returncode == 2
    assert "[foreign-home]" in done.stderr


def test_a_fifo_is_not_waited_for(root):
    """Something that is no file ends the install with an error, at once."""
    os.mkfifo(root / "etc" / "gitconfig")
    done = run_program("install", "--root", str(root))

    assert done.returncode == 1
    assert "[not-a-file]" in done.stderr


@root_only
def test_a_file_keeps_its_owner(root):
    """Root writes into a user's file, and it stays the user's."""
    for name in ("etc/gitconfig", "etc/git-credential-relay/relay.env"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("")
        os.chown(root / name, 65534, 65534)
    install(root, "--host", "git.example")

    for name in ("etc/gitconfig", "etc/git-credential-relay/relay.env"):
        assert (root / name).stat().st_uid == 65534
        assert (root / name).stat().st_gid == 65534


def test_a_line_end_is_taken_back_only_where_nothing_follows(root):
    """What somebody wrote behind our block does not end up on the line before it."""
    file = root / "etc" / "gitconfig"
    file.write_text("[user]\n\tname = x")
    install(root)
    with file.open("a") as stream:
        stream.write("[core]\n\tpager = less\n")
    uninstall(root)

    assert file.read_text() == "[user]\n\tname = x\n[core]\n\tpager = less\n"
