"""The documentation says what the program does: commands, settings, codes, examples."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from git_credential_relay.settings import SETTINGS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
ERRORS = (ROOT / "docs" / "errors.md").read_text()


def table_rows(text: str, header: str) -> list[list[str]]:
    """The cells of the Markdown table that begins with `header`."""
    lines = text[text.index(f"\n{header}") + 1 :].split("\n\n")[0].splitlines()
    return [
        [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in lines[2:]
    ]


def codes_in_source() -> set[str]:
    """Every code the commands can show: class attributes called code, and code=… arguments.

    Those in capitals the broker answers with; docs/broker.md has them.
    """
    codes = set()
    for path in (ROOT / "git_credential_relay").rglob("*.py"):
        if "demo" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            is_argument = isinstance(node, ast.keyword) and node.arg == "code"
            is_attribute = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "code"
            value = getattr(node, "value", None) if is_argument or is_attribute else None
            if isinstance(value, ast.Constant) and re.fullmatch("[a-z-]+", str(value.value)):
                codes.add(str(value.value))
    from git_credential_relay.relay.client.classify import _TROUBLES

    return codes | {code for code, _ in _TROUBLES.values()}


def test_readme_lists_exactly_the_commands_of_help():
    """The README's command table is the list that --help shows, word for word."""
    executable = Path(sys.executable).with_name("git-credential-relay")
    done = subprocess.run(
        [executable, "--help"], capture_output=True, text=True, check=True, env={"COLUMNS": "100"}
    )
    shown = done.stdout.split("Commands:\n")[1].rstrip().splitlines()

    assert [line.split(maxsplit=1) for line in shown] == [
        [name.strip("`"), text] for name, text in table_rows(README, "| command |")
    ]


def test_readme_lists_exactly_the_settings():
    """The README's table of settings has each name, alias, default and meaning there is."""
    rows = []
    for setting in SETTINGS:
        names = [n for n in setting.names if not n.endswith("_FILE")]
        also = ["secret"] if setting.is_secret else [f"`{n}`" for n in names[1:]]
        default = f"`{setting.default}`" if setting.default else ""
        if setting.name.endswith("_FALLBACK"):
            default = "all, in the order below"
        name = f"`{setting.name}`" + (f" ({', '.join(also)})" if also else "")
        rows.append([name, default, setting.meaning])

    assert table_rows(README, "| setting |") == rows


def test_every_error_code_is_documented_and_every_documented_one_exists():
    """docs/errors.md names each code the program can show, and no other."""
    documented = set(re.findall(r"^\| `([a-z-]+)` \|", ERRORS, re.MULTILINE))

    assert documented == codes_in_source()


@pytest.mark.parametrize(
    "path",
    [
        "README.md",
        "docs/broker.md",
        "docs/deploy.md",
        "docs/errors.md",
        "docs/doctor.md",
        "docs/images.md",
        "docs/sidecar.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
    ],
)
def test_links_between_documents_lead_somewhere(path):
    """Every relative link in a document names a file that exists."""
    document = ROOT / path
    links = re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text())

    assert [link for link in links if not (document.parent / link).exists()] == []


def test_readme_set_up_runs_as_shown(tmp_path):
    """The README's set-up commands work in order, for a new user with an empty home, and git
    then asks a helper that takes nothing from the work tree."""
    section = README.split("### On your own machine")[1].split("### ")[0].split("## ")[0]
    blocks = re.findall(r"^```sh\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    # The environment that runs this test stands for the one that the README has made.
    script = "".join(blocks).replace("$HOME/.local/share/git-credential-relay\n", f"{sys.prefix}\n")
    for line in ('python3 -m venv "$venv"\n', '"$venv/bin/pip" install .\n'):
        assert line in script
        script = script.replace(line, "")
    environ = {
        "HOME": str(tmp_path),
        "PATH": os.environ["PATH"],
        "GIT_CREDENTIAL_RELAY_CACHE_DIR": str(tmp_path / "cache"),
    }

    done = subprocess.run(
        ["sh", "-eu"], input=script, env=environ, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert "CLOUD_API_URL=https://relay.example.com  # " in done.stdout
    (tmp_path / "git_credential_relay.py").write_text("print('planted')")
    asked = subprocess.run(
        ["git", "credential", "fill"],
        input="url=https://github.com/acme/app.git\n\n",
        env={**environ, "PYTHONPATH": ".", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert asked.stdout == ""
    assert asked.stderr.startswith("git-credential-relay: error: no credential for")
    assert "WORKSPACE_TOKEN_FILE" in asked.stderr


def test_readme_commands_run_as_shown(tmp_path, httpserver):
    """The README's examples of `token` work as they stand, for somebody who has set it up."""
    httpserver.expect_request("/api/git/token").respond_with_json({"token": "ghs_shown"})
    section = README.split("## Commands")[1].split("## Settings")[0]
    [block] = re.findall(r"^```sh\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    environ = {
        "HOME": str(tmp_path),
        "PATH": f"{sys.prefix}/bin:/usr/bin:/bin",
        "CLOUD_API_URL": httpserver.url_for("").rstrip("/"),
        "WORKSPACE_ID": "my-workspace",
        "WORKSPACE_TOKEN": "my-secret",
        "GIT_CREDENTIAL_RELAY_CACHE_DIR": str(tmp_path / "cache"),
    }

    done = subprocess.run(
        ["sh", "-eu"],
        input=block + 'echo "$GH_TOKEN $GITHUB_TOKEN"\n',
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    raw, as_json, exported = done.stdout.splitlines()
    assert (raw, exported) == ("ghs_shown", "ghs_shown ghs_shown")
    assert '"repository": "acme/app"' in as_json
