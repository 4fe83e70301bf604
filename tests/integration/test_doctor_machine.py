"""Doctor on a machine that `install` has wired, as the users of that machine run it."""

from __future__ import annotations

import json

import pytest

from tests.fakes.wired import wired_machine

DOCTOR = "git-credential-relay doctor --json"
# What the machine's own git and gh lack is no matter of the wiring.
AGE = {"git-outdated", "gh-outdated"}
AGENT = 65534
CLONE = 'git clone --quiet "$1" work; cd work; '
PUSH = "git push --quiet origin HEAD:refs/heads/x-$$"
COMMIT = f"echo x >x; git add x; git commit --quiet --message x; {PUSH}; "


@pytest.fixture(scope="module")
def machine(open_directory, executable):
    """A machine that `install` has wired for the playground forge."""
    with wired_machine(executable, open_directory) as machine:
        relay_env = "/run/git-credential-relay/relay.env"
        machine.run(f"chown 0:{AGENT} {relay_env}; chmod 0640 {relay_env}", uid=0)
        yield machine


def report(machine, script, *, uid=AGENT):
    """The problems in the last report that a script in a clone prints, and their commands."""
    # What a shell hands on is not what an agent's container has; a home is.
    start = "export HOME=$PWD PATH=/usr/local/bin:/usr/bin:/bin; "
    done = machine.run(start + script, machine.forge.url_of("acme/app"), uid=uid)
    assert done.stderr == ""
    data = json.loads(done.stdout.splitlines()[-1])
    assert machine.cloud.workspace_secret not in done.stdout
    found = {c["code"]: c for c in data["checks"] if c["status"] in ("warn", "fail")}
    assert data["ok"] == all(c["status"] != "fail" for c in found.values())
    return {code: check for code, check in found.items() if code not in AGE}


def test_an_ordinary_user_lacks_nothing(machine):
    """After install, any user's clone is well, and a push is accepted."""
    assert report(machine, CLONE + COMMIT + DOCTOR) == {}


def test_an_empty_environment_is_as_good(machine):
    """Nor does it need a variable to be told so."""
    script = CLONE + 'exec env -i /usr/local/bin/git-credential-relay doctor --json --repo "$1"'
    assert report(machine, script) == {}


def test_a_system_file_that_is_not_read(machine):
    """GIT_CONFIG_NOSYSTEM is the one cause, and taking it away is what mends it."""
    broken = report(
        machine, CLONE + "export GIT_CONFIG_NOSYSTEM=1; " + DOCTOR + " --offline || true"
    )
    assert set(broken) == {"system-config-ignored"}
    assert broken["system-config-ignored"]["fix"] == "unset GIT_CONFIG_NOSYSTEM"

    mended = "export GIT_CONFIG_NOSYSTEM=1; unset GIT_CONFIG_NOSYSTEM; "
    assert report(machine, CLONE + mended + DOCTOR) == {}


def test_another_system_file(machine):
    """GIT_CONFIG_SYSTEM is another."""
    script = CLONE + "export GIT_CONFIG_SYSTEM=/dev/null; " + DOCTOR + " --offline || true"
    broken = report(machine, script)
    assert set(broken) == {"system-config-ignored"}
    assert broken["system-config-ignored"]["fix"] == "unset GIT_CONFIG_SYSTEM"


def test_a_stale_helper_of_gh(machine):
    """What `gh auth setup-git` left is named with its file; a push fails before and works after
    the command that doctor gives."""
    url = machine.forge.url
    stale = (
        f"git config --global --add credential.{url}.helper ''; "
        f"git config --global --add credential.{url}.helper '!/usr/bin/gh auth git-credential'; "
    )
    broken = report(machine, CLONE + stale + DOCTOR + " || true")
    assert set(broken) == {"helper-reset"}
    found = broken["helper-reset"]
    assert "!/usr/bin/gh auth git-credential in " in found["message"]
    assert found["message"].count("/.gitconfig") == 2

    home = found["message"].split(" in ")[1].split("/.gitconfig")[0]
    assert home.startswith(str(machine.homes))
    fix = found["fix"].replace(home, '"$HOME"')
    refused = f"{stale} GIT_TERMINAL_PROMPT=0 {PUSH} 2>/dev/null && exit 9; "
    assert report(machine, CLONE + refused + f"{fix}; " + COMMIT + DOCTOR) == {}


@pytest.mark.parametrize("name", ["store", "cache --timeout=300"])
def test_a_helper_for_every_host_stays_there_for_the_others(machine, name):
    """A user's own helper would be told our tokens; the command keeps it for other hosts only."""
    own = f"git config --global credential.helper '{name}'; "
    [broken] = report(machine, CLONE + own + DOCTOR + " || true").values()
    assert broken["code"] in ("plaintext-helper", "helper-behind")

    mend = f"{broken['fix']} >/dev/null; export PATH=$HOME/.local/bin:$PATH; "
    kept = f"git config --global --get-all credential.helper | grep -qx '{name}'; "
    assert report(machine, CLONE + own + mend + kept + COMMIT + DOCTOR) == {}


def test_a_system_file_that_this_user_may_not_read(machine):
    """Mode 0600 ends every git command of an ordinary user; doctor still says why."""
    machine.run("chmod 0600 /etc/gitconfig", uid=0)
    try:
        broken = report(machine, DOCTOR + " --offline || true")
        assert set(broken) == {"config-unreadable"}
        assert broken["config-unreadable"]["fix"] == "chmod 0644 /etc/gitconfig"
    finally:
        machine.run(broken["config-unreadable"]["fix"], uid=0)
    assert report(machine, CLONE + DOCTOR) == {}


def test_a_secret_that_every_user_can_read(machine):
    """A file that agents share is root's to close, and there is no command that would cut them
    off; one's own has one. Either way a push is accepted afterwards."""
    relay_env = "/run/git-credential-relay/relay.env"
    machine.run(f"chown 0:0 {relay_env}; chmod 0644 {relay_env}", uid=0)
    try:
        for uid in (AGENT, 0):
            [found] = report(machine, CLONE + DOCTOR, uid=uid).values()
            assert (found["code"], found["fix"]) == ("secret-file-open", None)
            assert "; root has to give it to the agents' group (chgrp)" in found["message"]
    finally:
        machine.run(f"chgrp {AGENT} {relay_env}; chmod 0640 {relay_env}", uid=0)
    assert report(machine, CLONE + COMMIT + DOCTOR) == {}

    own = '"$HOME"/.config/git-credential-relay/relay.env'
    open_file = f"mkdir -p ~/.config/git-credential-relay; cp {relay_env} {own}; chmod 0644 {own}; "
    [found] = report(machine, CLONE + open_file + DOCTOR).values()
    command, _, path = found["fix"].rpartition(" ")
    assert (found["code"], command) == ("secret-file-open", "chmod o=")
    assert path.endswith("/.config/git-credential-relay/relay.env")
    mended = f"{command} {own}; "
    assert report(machine, CLONE + open_file + mended + COMMIT + DOCTOR) == {}


def test_a_cache_that_is_full(machine):
    """A directory in which no token fits is no cache."""
    full = "/run/full"
    fill = f"mkdir {full}; mount -t tmpfs -o size=4k,mode=0700 none {full}; "
    machine.run(f"{fill} head -c 8k /dev/zero >{full}/x || true", uid=0)
    set_cache = f"export GIT_CREDENTIAL_RELAY_CACHE_DIR={full}; "
    try:
        [found] = report(machine, CLONE + set_cache + DOCTOR, uid=0).values()
    finally:
        machine.run(f"umount {full}", uid=0)
    assert found["code"] == "cache-unusable"
    assert "full file system" in found["message"]


def test_a_system_that_is_not_wired(machine, executable):
    """Without our lines, the command that root is given writes them."""
    look = "git-credential-relay doctor --json --offline --repo https://github.com/acme/app || true"
    path = f"PATH={executable.parent}:$PATH; "
    machine.run(path + "git-credential-relay uninstall", uid=0)
    try:
        broken = report(machine, path + look, uid=0)
        assert set(broken) - {"gh-not-ours"} == {"not-wired"}
        assert broken["not-wired"]["fix"] == "git-credential-relay install"
        machine.run(path + broken["not-wired"]["fix"], uid=0)
        assert report(machine, look, uid=0) == {}
    finally:
        again = f"install --host {machine.forge.url} --identity 'Agent <agent@example.com>'"
        machine.run(path + "git-credential-relay " + again, uid=0)
    assert report(machine, CLONE + DOCTOR) == {}


START_SIDECAR = """
cd /run/git-credential-relay
mv relay.env sidecar.env; chown 0:0 sidecar.env; chmod 0600 sidecar.env
git-credential-relay install --mode sidecar >/dev/null
grep ^GIT_CREDENTIAL_RELAY_HOSTS= /etc/git-credential-relay/relay.env >>sidecar.env
export GIT_CREDENTIAL_RELAY_CONFIG=$PWD/sidecar.env GIT_CREDENTIAL_RELAY_ALLOW_UIDS=65534
: >/run/sidecar.log
setsid git-credential-relay sidecar >>/run/sidecar.log 2>&1 </dev/null &
echo $! >/run/sidecar.pid
for n in 1 2 3 4 5 6 7 8 9 10; do grep -q ready /run/sidecar.log && exit; sleep 0.2; done
cat /run/sidecar.log >&2; exit 1
"""
STOP_SIDECAR = """
kill "$(cat /run/sidecar.pid)"
cd /run/git-credential-relay
mv sidecar.env relay.env; chgrp 65534 relay.env; chmod 0640 relay.env
git-credential-relay install --mode direct >/dev/null
"""
PATH = "export PATH=/usr/local/bin:/usr/bin:/bin; "


@pytest.fixture(scope="module")
def with_sidecar(machine):
    """The same machine, where a sidecar of root's has the secret and serves the agents."""
    started = machine.run(PATH + START_SIDECAR, uid=0)
    try:
        assert (started.returncode, started.stderr) == (0, "")
        yield machine
    finally:
        stopped = machine.run(PATH + STOP_SIDECAR, uid=0)
    assert (stopped.returncode, stopped.stderr) == (0, "")


def test_an_agent_beside_a_sidecar_lacks_nothing(with_sidecar):
    """Clone and push work through git's own client, doctor as the agent finds nothing to mend,
    and it says whose the sidecar is; a user that is not served is told so."""
    assert report(with_sidecar, CLONE + COMMIT + DOCTOR) == {}
    told = with_sidecar.run(PATH + DOCTOR + " --offline", uid=AGENT)
    checks = {c["name"]: c for c in json.loads(told.stdout)["checks"]}
    place = "/run/git-credential-relay"
    assert checks["sidecar"]["message"] == f"answers at {place}/git.sock, as uid 0"
    assert checks["sidecar-socket"]["message"] == f"{place}: this user can replace nothing there"
    assert checks["sidecar-secret"]["status"] == "ok"

    other = report(with_sidecar, DOCTOR + " --offline || true", uid=54321)
    assert set(other) == {"sidecar-refused"}
    for command in ("why", "status --json"):
        refused = with_sidecar.run(f"{PATH} git-credential-relay {command}", uid=54321)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert "does not serve uid 54321" in refused.stderr
        assert "[sidecar-refused]" in refused.stderr


def test_a_secret_that_the_agent_has_beside_a_sidecar(with_sidecar):
    """What a sidecar is there to keep must not be in the agent's reach by another way."""
    secret = f"export WORKSPACE_TOKEN={with_sidecar.cloud.workspace_secret}; "
    found = report(with_sidecar, secret + DOCTOR + " --offline || true")
    assert {code: check["fix"] for code, check in found.items()} == {
        "secret-within-reach": "unset WORKSPACE_TOKEN"
    }
    mended = f"{secret} unset WORKSPACE_TOKEN; "
    assert report(with_sidecar, mended + DOCTOR + " --offline") == {}


def test_a_sidecar_s_directory_that_the_agent_can_write(with_sidecar):
    """Whoever can put a socket there is asked in its place."""
    with_sidecar.run("chmod 1777 /run/git-credential-relay", uid=0)
    try:
        found = report(with_sidecar, DOCTOR + " --offline || true")
    finally:
        with_sidecar.run("chmod 0755 /run/git-credential-relay", uid=0)
    assert set(found) == {"socket-directory-writable"}
    assert report(with_sidecar, DOCTOR + " --offline") == {}
