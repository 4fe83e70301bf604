"""A broker's configuration in a directory, with the secret files it names."""

from pathlib import Path

FORGE = """
[[forge]]
kind = "static"
host = "git.example.com"
token_file = "env:STATIC_TOKEN"
"""
_WORKSPACE = """
[[workspace]]
id = "{id}"
secret_file = "{id}.secret"
[[workspace.grant]]
host = "git.example.com"
repositories = ["acme/{id}"]
"""
ONE = FORGE + _WORKSPACE.format(id="w1")
TWO = ONE + _WORKSPACE.format(id="w2")


def write_config(directory: Path, text: str) -> Path:
    """Put the text into broker.toml, and secrets beside it where there are none."""
    for name in ("w1", "w2"):
        secret = directory / f"{name}.secret"
        if not secret.exists():
            secret.write_text(f"secret-of-{name}")
    path = directory / "broker.toml"
    path.write_text(text)
    return path
