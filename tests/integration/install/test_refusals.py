"""What `install` refuses, and what it does where things stand badly."""

from __future__ import annotations

import os
import signal
import stat
import subprocess

import pytest

from tests.fakes.installation import (
    CANARY,
    FOREIGN,
    HELPER,
    install,
    root_only,
    tree,
    uninstall,
    values,
)
from tests.fakes.program import EXECUTABLE, run_program

AS_NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]


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
