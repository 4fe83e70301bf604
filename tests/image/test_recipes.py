"""The recipes of docs/images.md, built as they stand there but for the names of the base images."""

from __future__ import annotations

import json
import ssl
from functools import cache

import pytest
import trustme

from tests.fakes.raw_server import answering, http_answer, raw_server
from tests.image.recipes import build_recipe, slug

DERIVED = "RUN git-credential-relay install --host"
TREE = "COPY --from=git-credential-relay:relay"


@pytest.fixture(scope="module")
def build(engine, checkout, debian, python_base, agent_image, relay_image, playground):
    """Builds the one recipe with a word in it, once; the image's name."""
    names = {
        "git-credential-relay:agent": agent_image,
        "git-credential-relay:relay": relay_image,
        "node:22-bookworm-slim": debian,
        "python:3.13-slim-bookworm": python_base,
        "git.example.com": playground.forge.url,
    }
    return cache(lambda word: build_recipe(engine, word, names, checkout))


@pytest.mark.parametrize("word", [DERIVED, TREE, "pip install"])
def test_recipe(engine, build, playground, word):
    """An image built by the recipe pushes, by default and with root's start, in an empty
    environment too."""
    image = build(word)
    for flags, shell in (((), "sh -c"), (("--user=0",), "env -i bash -l -c")):
        branch = f"recipe-{slug(word)}-{len(flags)}"
        script = playground.push_by(*shell.split(), branch=branch)
        done = engine.run(image, *script, flags=flags, environ=playground.environ)

        assert playground.arrived(done, branch)


def test_recipe_for_images_without_python(engine, build):
    """The tree works where there is no Python, in the words of the program itself too."""
    image = build(TREE)
    done = engine.run(
        image, "sh", "-c", "command -v python3 python; git-credential-relay --version"
    )

    assert (done.exit_code, done.stderr) == (0, "")
    [line] = done.lines
    assert line.startswith("git-credential-relay, version ")


def test_tree_trusts_whom_the_image_trusts(engine, build):
    """The tree's own TLS library knows the certificate authorities of the image it was copied to,
    and no others."""
    image = build(TREE)
    authority = trustme.CA()
    trusting = engine.build_from(
        image,
        "COPY own.crt /usr/local/share/ca-certificates/\nRUN update-ca-certificates\n",
        "authority",
        {"own.crt": authority.cert_pem.bytes()},
    )
    body = {"token": "tok-tls", "expiresAt": "2099-01-01T00:00:00Z"}
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server_context)
    environ = {"WORKSPACE_ID": "w", "WORKSPACE_TOKEN": "s"}
    with raw_server(answering(http_answer(json.dumps(body).encode())), server_context) as server:
        environ["CLOUD_API_URL"] = f"https://127.0.0.1:{server.port}"
        command = ["git-credential-relay", "token", "--repo", "acme/app"]
        trusted = engine.run(trusting, *command, environ=environ)
        refused = engine.run(image, *command, environ=environ)

    assert (trusted.exit_code, trusted.stdout) == (0, "tok-tls\n")
    assert refused.stdout == ""
    assert "[tls-refused]" in refused.stderr
