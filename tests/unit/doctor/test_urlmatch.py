"""Which section is about which URL: as real git decides it."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from git_credential_relay.doctor.urlmatch import matches, parse_url

GIT = shutil.which("git") or "git"
ODDLY_SPELLED = "https://GitHub.com:443/acme/app"
URLS = (
    "https://github.com/acme/app.git",
    "https://x-access-token@github.com/acme/app.git",
    "https://git.example.com:8443/group/sub/app",
    "http://127.0.0.1:3000/acme/app",
    ODDLY_SPELLED,
)
PATTERNS = (
    "https://github.com",
    "https://github.com/",
    "https://GITHUB.com:443",
    "http://github.com",
    "https://github.com:8443",
    "https://*.com",
    "https://*.example.com:8443",
    "https://*.github.com",
    "https://*",
    "https://github.com/acme",
    "https://github.com/acme/",
    "https://github.com/ac",
    "https://github.com/acme/app.git",
    "https://github.com/acme/app",
    "https://x-access-token@github.com",
    "https://bob@github.com",
    "https://git.example.com:8443/group",
    "https://git.example.com/group",
    "http://127.0.0.1:3000",
    "http://127.0.0.1",
    "github.com",
    "https://",
    "http://",
    "git.example.com:8443",
    "github.com/acme/app.git",
    "/acme/app.git",
    "/acme",
    "github",
    "",
)


@pytest.mark.parametrize("url", URLS)
def test_sections_apply_where_git_applies_them(url, tmp_path):
    """For each pattern, git asks the helper of its section exactly where we say so."""
    lines = [
        f'[credential "{pattern}"]\n\thelper = "!echo >&2 asked:{number}: #"'
        for number, pattern in enumerate(PATTERNS)
    ]
    config = tmp_path / "config"
    config.write_text("\n".join(lines))
    done = subprocess.run(
        [GIT, "-c", "credential.useHttpPath=true", "credential", "fill"],
        input=f"url={url}\n\n",
        env={
            "PATH": "/usr/bin:/bin",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": str(config),
            "GIT_TERMINAL_PROMPT": "0",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    by_git = {line.split(":")[1] for line in done.stderr.splitlines() if line.startswith("asked:")}
    parsed = parse_url(url)
    assert parsed is not None

    ours = {p for p in PATTERNS if matches(p, parsed)}
    if url == ODDLY_SPELLED:
        ours.discard("github.com")  # a part of a URL is compared by its spelling
    assert {PATTERNS[int(n)] for n in by_git} == ours


@given(st.text())
def test_any_text_is_a_url_or_none(text):
    """No text that stands in a configuration raises."""
    url = parse_url(text)
    assert url is None or url.host
    github = parse_url("https://github.com/acme/app")
    assert github is not None
    assert matches(text, github) in (True, False)


@given(st.from_regex(r"[a-z]{1,8}(\.[a-z]{1,8}){0,2}", fullmatch=True), st.integers(1, 65535))
def test_a_host_matches_itself_alone(host, port):
    """A section for one address is about that address, and about no other port or host."""
    url = parse_url(f"https://{host}:{port}/a/b")
    assert url is not None
    assert matches(f"https://{host}:{port}", url)
    assert not matches(f"https://{host}:{port % 65535 + 1}", url)
    assert not matches(f"https://x{host}:{port}", url)
    assert not matches(f"https://{host}.evil.example:{port}", url)
