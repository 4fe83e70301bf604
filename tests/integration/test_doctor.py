"""Each thing that can be wrong on the machine, broken alone on a healthy set-up: doctor's one
finding about it, and the command in the finding that mends it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from git_credential_relay.doctor.report import as_text, is_healthy
from git_credential_relay.relay.cache.tmpfs import is_memory_backed
from tests.fakes.agent import SECRET
from tests.fakes.api import issues
from tests.fakes.patient import GH_TOKEN, GIT, PASSWORD, Patient, patient, system_config

# An ordinary user cannot make a file that is root's.
HEALTHY = set() if os.geteuid() == 0 else {("system-config", "warn", "config-not-roots")}


@pytest.fixture
def well(tmp_path, api):
    """Somebody who lacks nothing."""
    with patient(tmp_path / "patient", api) as found:
        yield found


def problems(checks):
    """What is wrong, as name, status and code."""
    wrong = {(c.name, c.status, c.code) for c in checks if c.status in ("warn", "fail")}
    return wrong - HEALTHY


@dataclass(frozen=True)
class Break:
    """One thing to break, what doctor says of it, and whether its command can be run here.

    Some commands write to the machine itself, or open an editor.
    """

    act: Callable[[Patient], object]
    name: str
    status: str
    code: str
    mends: bool = True


def environment(**variables: str) -> Callable[[Patient], None]:
    return lambda p: p.environ.update(variables)


def config(*arguments: str) -> Callable[[Patient], None]:
    """`{url}` stands for the forge's address in the clone's configuration."""
    return lambda p: p.config(*(a.replace("{url}", p.forge.url) for a in arguments))


def both(*acts: Callable[[Patient], None]) -> Callable[[Patient], None]:
    def act(p):
        for one in acts:
            one(p)

    return act


def own_config(text: str) -> Callable[[Patient], None]:
    return lambda p: put(p.gitconfig, text.replace("{url}", p.forge.url))


def remote(url: str) -> Callable[[Patient], None]:
    return config("remote.origin.url", url)


def put(path, text, mode=0o644):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def system(change: Callable[[str], str]) -> Callable[[Patient], None]:
    return lambda p: put(p.system, change(p.system.read_text()))


def gh_file(name: str, text: str) -> Callable[[Patient], None]:
    return lambda p: put(p.home / ".config/gh" / name, text, 0o600)


def no_git(p):
    (p.programs / "git").unlink()
    p.environ["PATH"] = f"{p.bin}:{p.programs}"


def another_git(p):
    other = p.agent.root / "opt"
    put(p.agent.root / "opt-gitconfig", "[user]\n\tname = Other\n")
    script = f'#!/bin/sh\nGIT_CONFIG_SYSTEM={p.agent.root}/opt-gitconfig exec {GIT} "$@"\n'
    put(other / "git", script, 0o755)
    p.environ["PATH"] += f":{other}"


def wired_globally(p):
    p.gitconfig.write_text(p.system.read_text())
    p.system.write_text("")
    p.environ["GIT_CONFIG_GLOBAL"] = os.devnull


def no_retries(p):
    p.environ["PRETENDED_GIT"] = "2.54.1"
    p.system.write_text(p.system.read_text().replace("maxRetries = 1", "maxRetries = 0"))


def no_real_gh(p):
    (p.programs / "gh").unlink()
    p.environ["PATH"] = f"{p.bin}:{p.programs}"


def other_launcher(text: str, mode: int) -> Callable[[Patient], None]:
    def act(p):
        path = p.agent.root / "other" / "git-credential-relay"
        if text:
            put(path, text, mode)
        p.system.write_text(system_config(path, p.forge.url))

    return act


def not_executable(p):
    path = p.agent.root / "other" / "git-credential-relay"
    put(path, p.agent.launcher.read_text(), 0o644)
    p.system.write_text(system_config(path, p.forge.url))


def secret_in_env_file(p):
    path = p.home / ".config/git-credential-relay/relay.env"
    put(path, f"WORKSPACE_TOKEN={SECRET}\n", 0o644)
    del p.environ["WORKSPACE_TOKEN"]


def secret_file(p):
    path = p.home / "secret"
    put(path, SECRET, 0o644)
    del p.environ["WORKSPACE_TOKEN"]
    p.environ["WORKSPACE_TOKEN_FILE"] = str(path)


def open_cache(p):
    p.agent.cache.mkdir(mode=0o755)


def submodule(p):
    directory = p.clone / ".git/modules/lib"
    subprocess.run([GIT, "init", "--quiet", "--bare", str(directory)], check=True, cwd="/")
    p.config(
        "remote.origin.url", f"https://x:{PASSWORD}@github.com/acme/lib", file=directory / "config"
    )


def several_urls(p):
    p.config("--add", "remote.origin.pushurl", p.url)
    p.config("--add", "remote.origin.pushurl", p.url.replace("://", f"://x:{PASSWORD}@"))


def foreign_repository(p):
    for directory, below, files in os.walk(p.clone):
        for name in (".", *below, *files):
            os.chown(os.path.join(directory, name), 65534, 65534)


GH_HELPER = '[credential "{url}"]\n\thelper = \n\thelper = !/usr/bin/gh auth git-credential\n'
SNIPPET = f'[credential "{{url}}"]\n\thelper = "!f() {{ echo password={PASSWORD}; }}; f"\n'
HOSTS_YML = f"github.com:\n    user: octo\n    oauth_token: {GH_TOKEN}\n"
MIGRATED_HOSTS_YML = f"{HOSTS_YML}    users:\n        octo:\n            oauth_token: {GH_TOKEN}\n"

BREAKS = {
    # configuration
    "bad-setting": Break(
        environment(GIT_CREDENTIAL_RELAY_DEADLINE="soon"), "configuration", "fail", "bad-config"
    ),
    "no-secret-file": Break(
        lambda p: p.environ.update(
            WORKSPACE_TOKEN_FILE=str(p.agent.root / "absent"), WORKSPACE_TOKEN=""
        ),
        "configuration", "fail", "bad-config",
    ),
    "no-api": Break(environment(CLOUD_API_URL=""), "configuration", "warn", "not-configured"),
    # git itself
    "no-git": Break(no_git, "git", "fail", "git-missing", mends=False),
    "odd-git": Break(environment(PRETENDED_GIT="new"), "git", "fail", "git-broken"),
    "ancient-git": Break(environment(PRETENDED_GIT="2.25.1"), "git", "fail", "git-too-old"),
    "old-git": Break(environment(PRETENDED_GIT="2.39.5"), "git", "warn", "git-outdated"),
    "other-git": Break(another_git, "other-gits", "warn", "other-git-not-wired", mends=False),
    "endless-retries": Break(no_retries, "http-retries", "warn", "endless-retries"),
    # the environment
    "global-replaced": Break(
        wired_globally, "git-environment", "fail", "global-config-replaced"
    ),
    "askpass": Break(
        environment(GIT_ASKPASS="/bin/true"), "git-environment", "warn", "askpass"
    ),
    "core-askpass": Break(
        config("core.askPass", "/bin/true"), "git-environment", "warn", "askpass"
    ),
    "count": Break(
        environment(
            GIT_CONFIG_COUNT="1", GIT_CONFIG_KEY_0="credential.helper", GIT_CONFIG_VALUE_0=""
        ),
        "helper-order", "fail", "overridden-by-environment",
    ),
    "parameters": Break(
        environment(GIT_CONFIG_PARAMETERS="'credential.helper='"),
        "helper-order", "fail", "overridden-by-environment",
    ),
    # the helpers' order
    "not-wired": Break(
        system(lambda text: ""), "helper-order", "fail", "not-wired", mends=os.geteuid() != 0
    ),
    "stale-gh": Break(own_config(GH_HELPER), "helper-order", "fail", "helper-reset"),
    "reset-for-all": Break(
        own_config("[credential]\n\thelper =\n\thelper = cache\n"),
        "helper-order", "fail", "helper-reset",
    ),
    "reset-in-the-repository": Break(
        config("--add", "credential.helper", ""), "helper-order", "fail", "helper-reset"
    ),
    "in-front": Break(
        lambda p: put(
            p.gitconfig,
            f'[credential "{p.forge.url}"]\n\thelper =\n\thelper = cache --timeout=300\n'
            f"\thelper = {p.agent.launcher}\n",
        ),
        "helper-order", "fail", "helper-in-front",
    ),
    "plaintext": Break(
        own_config("[credential]\n\thelper = store\n"), "helper-order", "fail", "plaintext-helper"
    ),
    "plaintext-for-this-host": Break(
        own_config('[credential "{url}"]\n\thelper = store --file ~/x\n'),
        "helper-order", "fail", "plaintext-helper",
    ),
    "behind": Break(
        config("credential.helper", "cache"), "helper-order", "warn", "helper-behind"
    ),
    "snippet": Break(own_config(SNIPPET), "helper-order", "warn", "helper-behind"),
    "by-name": Break(
        system(lambda text: text.replace(text.split("helper = ")[1].split("\n")[0], "relay")),
        "helper-order", "warn", "helper-by-name", mends=False,
    ),
    "no-http-path": Break(
        system(lambda text: text.replace("\tuseHttpPath = true\n", "")),
        "use-http-path", "warn", "http-path-off",
    ),
    "http-path-off": Break(
        config("credential.{url}.useHttpPath", "false"), "use-http-path", "warn", "http-path-off"
    ),
    "username": Break(
        config("credential.{url}.username", "bob"), "username", "warn", "username-configured"
    ),
    # remotes
    "ssh": Break(remote("git@github.com:acme/app.git"), "remotes", "warn", "ssh-remote"),
    "ssh-url": Break(
        remote("ssh://git@github.com:22/acme/app.git"), "remotes", "warn", "ssh-remote"
    ),
    "rewritten": Break(
        both(
            remote("https://github.com/acme/app.git"),
            own_config('[url "git@github.com:"]\n\tinsteadOf = https://github.com/\n'),
        ),
        "remotes", "fail", "rewritten-away",
    ),
    "push-rewritten": Break(
        config("url.ssh://git@127.0.0.1/.pushInsteadOf", "http://127.0.0.1:"),
        "remotes", "fail", "rewritten-away",
    ),
    "plain-http": Break(
        remote("http://github.com/acme/app"), "remotes", "warn", "plain-http-remote"
    ),
    "foreign-host": Break(
        remote("https://git.example.org/a/b"), "remotes", "warn", "host-not-ours", mends=False
    ),
    "no-name": Break(remote("https://github.com/acme"), "remotes", "warn", "not-a-repository"),
    "user": Break(
        lambda p: p.config("remote.origin.url", p.url.replace("://", "://bob@")),
        "remotes", "warn", "user-in-remote",
    ),
    # secrets where they should not be
    "password": Break(
        lambda p: p.config("remote.origin.url", p.url.replace("://", f"://x:{PASSWORD}@")),
        "embedded-credentials", "fail", "credential-in-url",
    ),
    "token-as-user": Break(
        lambda p: p.config("remote.other.url", f"https://{GH_TOKEN}@github.com/acme/app"),
        "embedded-credentials", "fail", "credential-in-url",
    ),
    "one-of-several": Break(
        several_urls, "embedded-credentials", "fail", "credential-in-url"
    ),
    "submodule": Break(submodule, "embedded-credentials", "fail", "credential-in-url"),
    "branch": Break(
        lambda p: p.config("branch.old.remote", p.url.replace("://", f"://x:{PASSWORD}@")),
        "embedded-credentials", "fail", "credential-in-url",
    ),
    "section": Break(
        config(f"url.https://x:{PASSWORD}@github.com/.insteadOf", "gh:"),
        "embedded-credentials", "fail", "credential-in-section",
    ),
    "header": Break(
        config("http.{url}/.extraHeader", f"Authorization: Basic {PASSWORD}"),
        "extra-headers", "fail", "authorization-header",
    ),
    "header-among-others": Break(
        both(
            config("--add", "http.extraHeader", "X-Own: 1"),
            config("--add", "http.extraHeader", f"AUTHORIZATION: bearer {PASSWORD}"),
        ),
        "extra-headers", "fail", "authorization-header", mends=False,
    ),
    "header-in-the-environment": Break(
        environment(
            GIT_CONFIG_COUNT="1", GIT_CONFIG_KEY_0="http.extraHeader",
            GIT_CONFIG_VALUE_0=f"Authorization: Basic {PASSWORD}",
        ),
        "extra-headers", "fail", "authorization-header",
    ),
    "netrc": Break(
        lambda p: put(p.home / ".netrc", f"machine 127.0.0.1 login x\n password {PASSWORD}\n"),
        "netrc", "fail", "netrc-entry",
    ),
    "netrc-default": Break(
        lambda p: put(p.home / ".netrc", f"default login x password {PASSWORD}\n"),
        "netrc", "fail", "netrc-entry",
    ),
    # files
    "system-closed": Break(
        lambda p: p.system.chmod(0o600), "system-config", "fail", "config-unreadable"
    ),
    "system-open": Break(
        lambda p: p.system.chmod(0o666), "system-config", "fail", "config-writable"
    ),
    "system-broken": Break(
        system(lambda text: text + "[broken\n"), "system-config", "fail", "config-broken"
    ),
    "no-launcher": Break(
        other_launcher("", 0), "launchers", "fail", "launcher-missing", mends=False
    ),
    "launcher-not-executable": Break(
        not_executable, "launchers", "fail", "launcher-not-executable"
    ),
    "no-interpreter": Break(
        other_launcher("#!/nonexistent/python -I\n", 0o755),
        "launchers", "fail", "interpreter-missing", mends=False,
    ),
    "no-interpreter-in-a-long-path": Break(
        other_launcher("#!/bin/sh\n'''exec' '/non existent/python' -I \"$0\" \"$@\"\n", 0o755),
        "launchers", "fail", "interpreter-missing", mends=False,
    ),
    "secret-in-open-file": Break(
        secret_in_env_file, "secret-files", "warn", "secret-file-open"
    ),
    "open-secret-file": Break(secret_file, "secret-files", "warn", "secret-file-open"),
    "open-cache": Break(open_cache, "cache", "warn", "cache-unusable"),
    "cache-is-a-file": Break(
        lambda p: p.agent.cache.write_text(""), "cache", "warn", "cache-unusable"
    ),
    "cache-cannot-be-made": Break(
        lambda p: p.environ.update(GIT_CREDENTIAL_RELAY_CACHE_DIR=f"{p.system}/cache"),
        "cache", "warn", "cache-unusable",
    ),
    # gh
    "no-shim": Break(
        lambda p: (p.bin / "gh").unlink(), "gh", "warn", "gh-not-ours", mends=False
    ),
    "shim-behind": Break(
        lambda p: p.environ.update(PATH=f"{p.programs}:{p.bin}:/usr/bin:/bin"),
        "gh", "warn", "gh-behind",
    ),
    "no-real-gh": Break(no_real_gh, "gh", "warn", "gh-missing", mends=False),
    "old-gh": Break(environment(PRETENDED_GH="2.23.0"), "gh-version", "warn", "gh-outdated"),
    "odd-gh": Break(environment(PRETENDED_GH="new"), "gh-version", "warn", "gh-broken"),
    "gh-token": Break(
        environment(GH_TOKEN=GH_TOKEN), "gh-environment", "warn", "token-in-environment"
    ),
    "gh-enterprise-token": Break(
        environment(GH_ENTERPRISE_TOKEN=GH_TOKEN), "gh-environment", "fail", "unbound-token"
    ),
    "gh-helper-key": Break(
        gh_file("hosts.yml", "github.com:\n    credential-helper: /usr/local/bin/relay\n"),
        "gh-hosts", "warn", "gh-helper-key",
    ),
    "gh-helper-key-for-all": Break(
        gh_file("config.yml", "credential-helper: x\neditor: vi\n"),
        "gh-hosts", "warn", "gh-helper-key",
    ),
    "gh-placeholder": Break(
        gh_file("hosts.yml", "github.com:\n    oauth_token: placeholder\n"),
        "gh-hosts", "warn", "gh-placeholder",
    ),
    **{
        f"gh-{version}": Break(
            both(environment(PRETENDED_GH=version), gh_file("hosts.yml", HOSTS_YML)),
            "gh-hosts", "warn", code,
        )
        for version, code in {
            "2.101.0": "gh-unmigrated", "2.102.0": "gh-stored-token", "3.0.0": "gh-stored-token"
        }.items()
    },
    "gh-stored": Break(
        gh_file("hosts.yml", MIGRATED_HOSTS_YML),
        "gh-hosts", "warn", "gh-stored-token",
    ),
    "gh-no-yaml": Break(gh_file("hosts.yml", "a: [b"), "gh-hosts", "warn", "gh-unreadable"),
}  # fmt: skip


@pytest.mark.parametrize("broken", BREAKS.values(), ids=BREAKS)
def test_one_thing_broken_is_one_finding(well, broken):
    """Doctor says exactly what is broken, without a secret, and its command mends it."""
    broken.act(well)
    checks = well.examine(is_offline=True)

    assert problems(checks) == {(broken.name, broken.status, broken.code)}
    assert is_healthy(checks) == (broken.status == "warn")
    [found] = [
        check for check in checks if (check.code, check.status) == (broken.code, broken.status)
    ]
    if not (found.fix and broken.mends):
        return
    well.shell(found.fix)
    assert problems(well.examine(is_offline=True)) == set()


def test_the_healthy_one_lacks_nothing(well):
    """Nothing broken: every check is ok or skipped, with and without the network."""
    assert problems(well.examine(is_offline=True)) == set()
    online = well.examine()
    assert problems(online) == set()
    assert {check.status for check in online} - {"ok"} <= ({"warn"} if HEALTHY else set())


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give a repository away")
def test_a_repository_of_somebody_else(well):
    """Git refuses to work in it: the command names this directory, and no other."""
    foreign_repository(well)
    checks = well.examine(is_offline=True)
    assert problems(checks) == {("repository", "fail", "dubious-ownership")}
    [found] = [check for check in checks if check.code == "dubious-ownership"]
    assert found.fix is not None
    assert found.fix.endswith(f"safe.directory {well.clone}")

    well.shell(found.fix)
    assert problems(well.examine(is_offline=True)) == set()


def test_what_is_not_there_is_skipped(well, tmp_path):
    """Outside a repository, without gh, there is less to say and nothing wrong."""
    shutil.rmtree(well.clone)
    well.clone.mkdir()
    for program in (well.bin / "gh", well.programs / "gh"):
        program.unlink()
    well.environ["PATH"] = f"{well.bin}:{well.programs}"
    checks = {check.name: check.code for check in well.examine(is_offline=True)}

    assert checks["repository"] == "no-repository"
    assert checks["remotes"] == "no-remotes"
    assert checks["gh"] == checks["gh-version"] == "no-gh"


def test_fix_takes_out_the_secret_and_nothing_else(well):
    """--fix leaves the other addresses as they are, tells what it did, and shows no secret."""
    several_urls(well)
    submodule(well)
    before = (well.clone / ".git/config").read_text()
    checks = well.examine(is_offline=True, fixes=True)

    assert problems(checks) == set()
    repaired = [check.message for check in checks if check.code == "repaired"]
    assert len(repaired) == 2
    assert "remote.origin.pushurl" in repaired[0]
    after = (well.clone / ".git/config").read_text()
    assert after == before.replace(f"x:{PASSWORD}@", "")
    assert PASSWORD not in (well.clone / ".git/modules/lib/config").read_text()


def named_by_secrets(p):
    """Sections named by addresses, some of which hold a secret that needs quoting."""
    file = p.clone / ".git/config"
    url = f'https://x:a&b.*[$^{PASSWORD}\\"#@github.com/'
    p.config(f"url.{url}.insteadOf", "gh:")
    p.config(f"http.https://{GH_TOKEN}@git.example.org/.sslVerify", "true")
    p.config("credential.https://bob@git.example.org.helper", "cache")
    with file.open("a") as stream:
        stream.write(f'  [URL "https://y:{PASSWORD}@example.com/"] insteadOf = ex: # kept\n')
    return file


def test_fix_takes_the_secret_out_of_the_names_of_sections(well):
    """Only the secrets go: what is in the sections stays, and so do users without a password."""
    file = named_by_secrets(well)
    file.chmod(0o640)
    checks = well.examine(is_offline=True, fixes=True)

    assert problems(checks) == set()
    assert [check.name for check in checks if check.code == "repaired"] == ["embedded-credentials"]
    after = file.read_text()
    for secret in (PASSWORD, GH_TOKEN, "x:a"):
        assert secret not in after
    for line in (
        '[url "https://github.com/"]\n\tinsteadOf = gh:\n',
        '[http "https://git.example.org/"]\n\tsslVerify = true\n',
        '[credential "https://bob@git.example.org"]\n\thelper = cache\n',
        '  [URL "https://example.com/"] insteadOf = ex: # kept\n',
    ):
        assert line in after
    assert file.stat().st_mode & 0o777 == 0o640
    assert not file.with_name("config.lock").exists()


def test_fix_shows_the_secret_to_no_process(well):
    """Nothing that --fix runs has the secret among its arguments."""
    named_by_secrets(well)
    well.config("remote.origin.url", well.url.replace("://", f"://x:{PASSWORD}@"))
    seen = well.agent.root / "seen"
    path, spies = well.environ["PATH"], well.agent.root / "spies"
    for name in ("git", "sh", "sed", "cp", "mv"):
        script = f'printf "%s\\n" "{name} $*" >>{seen}\nexec {shutil.which(name, path=path)} "$@"\n'
        put(spies / name, f"#!/bin/sh\n{script}", 0o755)
    well.environ["PATH"] = f"{spies}:{path}"
    assert "repaired" in {c.code for c in well.examine(is_offline=True, fixes=True)}

    ran = seen.read_text()
    assert "--replace-all" in ran
    assert "sed -f -" in ran
    assert PASSWORD not in ran
    assert GH_TOKEN not in ran


def test_fix_leaves_what_another_git_is_changing(well):
    """A file that is locked stays as it is, with its lock, and both findings say why."""
    file = named_by_secrets(well)
    well.config("remote.origin.url", well.url.replace("://", f"://x:{PASSWORD}@"))
    before, lock = file.read_text(), file.with_name("config.lock")
    lock.write_text("another's")
    checks = well.examine(is_offline=True, fixes=True)
    failed = [check for check in checks if check.code == "fix-failed"]

    assert [check.status for check in failed] == ["fail", "fail"]
    assert all("config.lock" in c.message or "lock config" in c.message for c in failed)
    assert (file.read_text(), lock.read_text()) == (before, "another's")


def test_one_of_several_addresses_is_not_replaced_with_the_others(well):
    """Of two URLs of one remote one is ssh: the command leaves the other where it is."""
    well.config("--add", "remote.origin.url", "git@github.com:acme/app.git")
    [found] = [c for c in well.examine(is_offline=True) if c.code == "ssh-remote"]
    assert found.fix is not None
    well.shell(f"GIT_EDITOR=true; export GIT_EDITOR; {found.fix}")

    urls = [GIT, "-C", str(well.clone), "config", "--get-all", "remote.origin.url"]
    kept = subprocess.run(urls, capture_output=True, text=True, check=True).stdout
    assert kept.split() == [well.url, "git@github.com:acme/app.git"]


@pytest.mark.parametrize(
    ("version", "code"), [("2.39.2", "gh-stored-token"), ("2.40.0", "gh-unmigrated")]
)
def test_a_gh_that_migrates_is_told_from_an_older_one(well, version, code):
    """gh began to rewrite hosts.yml with 2.40."""
    gh_file("hosts.yml", HOSTS_YML)(well)
    well.environ["PRETENDED_GH"] = version

    assert code in {c.code for c in well.examine(is_offline=True) if c.name == "gh-hosts"}


@pytest.mark.newer_gh
def test_a_new_gh_runs_with_an_old_file_and_leaves_no_trace(well):
    """The current gh, without a network, starts with a token of the old form; doctor says so, and
    running it for its version writes nothing."""
    (well.programs / "gh").unlink()
    (well.programs / "gh").symlink_to(os.path.abspath(os.environ["NEWER_GH"]))
    gh_file("hosts.yml", HOSTS_YML)(well)
    for name in [name for name in well.environ if name.startswith("XDG_")]:
        del well.environ[name]
    before = sorted(well.home.rglob("*"))
    found = problems(well.examine(is_offline=True))
    away = "http://127.0.0.1:9"
    done = subprocess.run(
        [str(well.programs / "gh"), "auth", "token"],
        env={**well.environ, "HTTPS_PROXY": away, "GH_TELEMETRY": "0"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert found == {("gh-hosts", "warn", "gh-stored-token")}
    assert (done.returncode, done.stdout.strip()) == (0, GH_TOKEN)
    assert sorted(well.home.rglob("*")) == before


def test_a_token_in_the_environment_matters_where_gh_takes_it(well):
    """Our gh sets GH_TOKEN, which counts before GITHUB_TOKEN; without ours the latter is used."""
    well.environ["GITHUB_TOKEN"] = GH_TOKEN
    assert problems(well.examine(is_offline=True)) == set()

    (well.bin / "gh").unlink()
    assert problems(well.examine(is_offline=True)) == {
        ("gh", "warn", "gh-not-ours"),
        ("gh-environment", "warn", "token-in-environment"),
    }


def test_a_token_that_exec_has_set_is_not_stale(well):
    """Below `exec` the tokens in the environment are ours; somebody's own beside them is told."""
    del well.environ["GIT_CREDENTIAL_RELAY_HOSTS"]
    token = "ghs_0urs0urs0urs0urs0urs"
    well.api.script(issues(token, host="github.com"))
    doctor = [str(well.agent.launcher), "doctor", "--json", "--offline"]
    has_token = f'test "$GITHUB_TOKEN" = {token}; exec "$@"'

    def run(*command):
        done = subprocess.run(
            [str(well.agent.launcher), "exec", "--", "sh", "-euc", has_token, "sh", *command],
            env=well.environ, cwd=well.clone, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert token not in done.stdout
        checks = json.loads(done.stdout)["checks"]
        return [c["code"] for c in checks if c["name"] == "gh-environment"]

    (well.bin / "gh").unlink()
    well.config("remote.origin.url", "https://github.com/acme/app")
    assert run(*doctor) == ["ok"]
    assert run("env", f"GH_TOKEN={GH_TOKEN}", *doctor) == ["token-in-environment"]


def test_the_cache_that_is_named_is_the_one_that_is_used(well, tmp_path):
    """A directory that the cache passes over, as it is on a disk, is not called usable."""
    del well.environ["GIT_CREDENTIAL_RELAY_CACHE_DIR"]
    runtime = tmp_path / "runtime"
    runtime.mkdir(mode=0o700)
    well.environ["XDG_RUNTIME_DIR"] = str(runtime)
    if is_memory_backed(str(runtime)):
        pytest.skip("the tests' own directory is in memory")
    [found] = [check for check in well.examine(is_offline=True) if check.name == "cache"]

    assert found.status == "warn" or not found.message.startswith(str(runtime))
    # Made by somebody, it is used wherever it lies.
    (runtime / "git-credential-relay").mkdir(mode=0o700)
    [found] = [check for check in well.examine(is_offline=True) if check.name == "cache"]
    assert (found.status, found.message) == ("ok", f"{runtime}/git-credential-relay")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give a repository away")
def test_root_repairs_as_the_owner(open_directory, api):
    """Root mends an agent's repository as the agent: links lead root nowhere."""
    root = Path(tempfile.mkdtemp(dir=open_directory))
    root.chmod(0o755)
    with patient(root / "patient", api) as well:
        well.config("remote.origin.url", well.url.replace("://", f"://x:{PASSWORD}@"))
        named_by_secrets(well)
        well.agent.work.chmod(0o755)
        foreign_repository(well)
        repaired = well.examine(is_offline=True, fixes=True)
        config_file = well.clone / ".git/config"

        assert "repaired" in {check.code for check in repaired}
        assert PASSWORD not in config_file.read_text()
        assert config_file.stat().st_uid == 65534

        roots = root / "roots"
        address = f"https://x:{PASSWORD}@github.com/a/b"
        roots.write_text(
            f'[remote "origin"]\n\turl = {address}\n[url "{address}"]\n\tinsteadOf = x\n'
        )
        roots.chmod(0o600)
        config_file.unlink()
        config_file.symlink_to(roots)
        refused = well.examine(is_offline=True, fixes=True)

        assert "repaired" not in {check.code for check in refused}
        assert roots.read_text().count(PASSWORD) == 2


# As a git that is slow enough for the repository's owner to do something in the meantime.
SWAPPING_GIT = """\
#!/bin/sh
test "$*" = --version && echo "git version 2.53.0" && exit 0
{git} "$@"
code=$?
case "$*" in *"{lib}/config "*--list*) mv {lib} {lib}.away && ln -s {roots} {lib};; esac
exit $code
"""
TELLING_GIT = """\
#!/bin/sh
test "$*" = --version && echo "git version 2.53.0" && exit 0
test "$(id -u)" = 0 || {{
    id -G
    cut -d" " -f6 /proc/$$/stat
    echo $$
    cat /proc/$$/environ
}} >{seen}
exec {git} "$@"
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give a repository away")
def test_root_does_not_follow_a_directory_that_was_exchanged(open_directory, api):
    """Between root's look at a file and its change the owner leads the way to a file of root's."""
    root = Path(tempfile.mkdtemp(dir=open_directory))
    root.chmod(0o755)
    with patient(root / "patient", api) as well:
        submodule(well)
        well.agent.work.chmod(0o755)
        foreign_repository(well)
        roots = root / "roots"
        roots.mkdir(0o755)
        (roots / "config").write_text("[user]\n\tname = root\n")
        lib = well.clone / ".git/modules/lib"
        put(
            well.programs / "git",
            SWAPPING_GIT.format(git=GIT, lib=lib, roots=roots),
            mode=0o755,
        )
        checks = well.examine(is_offline=True, fixes=True)

        assert lib.is_symlink()
        assert "fix-failed" in {check.code for check in checks}
        assert (roots / "config").read_text() == "[user]\n\tname = root\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give a repository away")
def test_root_tells_the_owner_nothing(open_directory, api):
    """What runs as the owner has none of root's variables, groups and terminals."""
    root = Path(tempfile.mkdtemp(dir=open_directory))
    root.chmod(0o755)
    with patient(root / "patient", api) as well:
        well.config("remote.origin.url", well.url.replace("://", f"://x:{PASSWORD}@"))
        well.agent.work.chmod(0o755)
        foreign_repository(well)
        seen = well.clone / "seen"
        put(well.programs / "git", TELLING_GIT.format(git=GIT, seen=seen), mode=0o755)
        checks = well.examine(is_offline=True, fixes=True)
        groups, session, pid, environ = seen.read_bytes().split(b"\n", 3)

        assert "repaired" in {check.code for check in checks}
        assert groups == b"65534"
        assert session == pid
        names = {entry.partition(b"=")[0] for entry in environ.split(b"\0") if entry}
        assert names == {b"PATH", b"LC_ALL", b"GIT_TERMINAL_PROMPT"}


@pytest.mark.parametrize(
    "name", [".netrc", ".config/gh/hosts.yml"], ids=["netrc-entry", "gh-stored-token"]
)
def test_what_was_moved_away_before_is_kept(well, name):
    """The command that moves a file out of the way does not write over one that lies there."""
    path, before = well.home / name, well.home / f"{name}.old"
    put(path, f"machine 127.0.0.1 password {PASSWORD}\n" if name == ".netrc" else HOSTS_YML)
    put(before, "kept")
    [fix] = [check.fix for check in well.examine(is_offline=True) if "mv " in (check.fix or "")]
    well.shell(fix)

    assert not path.exists()
    assert "kept" in {file.read_text() for file in path.parent.glob(f"{path.name}*")}


def test_the_program_prints_json_and_its_exit_code_says_whether_it_is_well(well):
    """`doctor --json` prints one object of the documented form; 1 when a check fails."""
    command = [str(well.agent.launcher), "doctor", "--json", "--offline"]

    def run():
        done = subprocess.run(
            command, env=well.environ, cwd=well.clone, capture_output=True, text=True, check=False
        )
        assert done.stderr == ""
        return done.returncode, json.loads(done.stdout)

    code, report = run()
    assert (code, report["ok"]) == (0, True)
    assert set(report) == {"ok", "checks"}
    for check in report["checks"]:
        assert list(check) == ["name", "status", "code", "message", "fix"]
        assert check["status"] in {"ok", "warn", "fail", "skip"}
        assert check["fix"] is None or "\n" not in check["fix"]

    well.config("credential.helper", "")
    code, report = run()
    assert (code, report["ok"]) == (1, False)


def test_the_text_begins_with_what_is_wrong(well):
    """People read the problem first, then the command that mends it, then the rest."""
    well.config("remote.origin.url", well.url.replace("://", f"://x:{PASSWORD}@"))
    done = subprocess.run(
        [str(well.agent.launcher), "doctor"],
        env=well.environ, cwd=well.clone, capture_output=True, text=True, check=False,
    )  # fmt: skip
    first, second, *rest = done.stdout.splitlines()

    assert done.returncode == 1
    assert first.startswith("fail  embedded-credentials: remote.origin.url in ")
    assert first.endswith("[credential-in-url]")
    assert second == "      fix: git-credential-relay doctor --fix"
    assert not any(line.startswith("fail") for line in rest)
    assert PASSWORD not in done.stdout


def test_control_characters_do_not_reach_the_terminal(well):
    """What a repository's configuration says cannot steer the terminal it is shown on."""
    well.config("remote.evil\x1b[2J.url", "https://git.example.org/\x1b]0;owned\x07/b")
    well.config("credential.helper", "\x1b[31mcache")
    checks = well.examine(is_offline=True)

    assert ("helper-order", "warn", "helper-behind") in problems(checks)
    assert "\x1b" not in as_text(checks)
    assert "\x07" not in as_text(checks)


@pytest.mark.parametrize("where", ["subdirectory", "worktree", "bare", "git-directory"])
def test_it_does_not_matter_where_one_stands(well, tmp_path, where):
    """From below, beside or inside the repository the same file is named, and mended."""
    well.config("remote.origin.url", well.url.replace("://", f"://x:{PASSWORD}@"))
    file = well.clone / ".git/config"
    directory = well.clone / "a/b"
    directory.mkdir(parents=True)
    if where == "worktree":
        directory = tmp_path / "tree"
        empty = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
        author = ["-c", "user.name=A", "-c", "user.email=a@example.com"]
        git = [GIT, "-C", str(well.clone), *author]
        made = subprocess.run(
            [*git, "commit-tree", "-m", "x", empty], capture_output=True, check=False
        )
        if made.returncode != 0:
            subprocess.run([*git, "commit", "--quiet", "--allow-empty", "-m", "x"], check=True)
            made = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, check=True)
        commit = made.stdout.decode().strip()
        add = ["worktree", "add", "--quiet", "--detach", str(directory), commit]
        subprocess.run([*git, *add], check=True, capture_output=True)
    elif where == "bare":
        directory = tmp_path / "bare.git"
        subprocess.run([GIT, "init", "--quiet", "--bare", str(directory)], check=True)
        well.config(
            "remote.origin.url", f"https://x:{PASSWORD}@github.com/a/b", file=directory / "config"
        )
        file = directory / "config"
    elif where == "git-directory":
        directory = well.clone / ".git"
    [found] = [c for c in well.examine(cwd=directory, is_offline=True) if c.status == "fail"]

    assert found.code == "credential-in-url"
    assert f" in {file} " in found.message
    well.examine(cwd=directory, is_offline=True, fixes=True)
    assert problems(well.examine(cwd=directory, is_offline=True)) == set()


def test_every_host_of_the_remotes_is_looked_at(well):
    """A second remote at another of our hosts has its own helpers; what is alike is told once."""
    well.config("remote.second.url", "https://github.com/acme/app")
    well.gitconfig.write_text('[credential "https://github.com"]\n\thelper =\n')
    checks = well.examine(is_offline=True)

    assert problems(checks) == {("helper-order", "fail", "helper-reset")}
    assert {c.status for c in checks if c.name == "helper-order"} == {"ok", "fail"}
    assert len([c for c in checks if c.name == "http-retries"]) == 1


def test_a_url_that_is_none_is_wrong_usage(well):
    """--repo takes a URL; anything else is said to be none, with the exit code of usage."""
    done = subprocess.run(
        [str(well.agent.launcher), "doctor", "--repo", "acme/app"],
        env=well.environ, cwd=well.clone, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (done.returncode, done.stdout) == (2, "")
    assert "--repo is not a URL [usage]" in done.stderr


def test_a_repository_runs_nothing_of_its_own(well, tmp_path):
    """Hooks, monitors, pagers and aliases that a repository names are not run by looking at it."""
    ran = tmp_path / "ran"
    hooks = tmp_path / "hooks"
    for name in ("post-checkout", "fsmonitor", "pager", "editor"):
        put(hooks / name, f"#!/bin/sh\necho {name} >>{ran}\n", 0o755)
    well.config("core.hooksPath", str(hooks))
    well.config("core.fsmonitor", str(hooks / "fsmonitor"))
    well.config("core.pager", str(hooks / "pager"))
    well.config("core.editor", str(hooks / "editor"))
    well.config("alias.config", f"!{hooks / 'pager'}")
    well.config("alias.rev-parse", f"!{hooks / 'pager'}")
    well.examine()

    assert not ran.exists()
