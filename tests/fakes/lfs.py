"""Git LFS at the playground forge: the batch API, uploads and downloads, behind its tokens.

https://github.com/git-lfs/git-lfs/blob/main/docs/api/basic-transfers.md
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from functools import partial
from typing import Any

from git_credential_relay.demo.forge import ApiAnswer, ApiRequest, PlaygroundForge

_ROUTE = re.compile(
    r"/(?P<repository>[\w.-]+/[\w.-]+?)\.git/info/lfs/objects/(?P<oid>batch|[0-9a-f]{64})"
)
_CHALLENGE = {"LFS-Authenticate": 'Basic realm="lfs"', "WWW-Authenticate": 'Basic realm="lfs"'}


class LfsStore:
    """What a forge keeps of Git LFS: the `objects` by their SHA-256, of all repositories.

    They have to be ASCII text.
    """

    def __init__(self) -> None:
        self.objects: dict[str, str] = {}
        self.refused = 0

    def serve_at(self, forge: PlaygroundForge) -> None:
        """Answer at `forge`, with its tokens."""
        forge.api = partial(self._answer, forge)

    def _answer(self, forge: PlaygroundForge, request: ApiRequest) -> ApiAnswer | None:
        route = _ROUTE.fullmatch(request.path)
        if route is None:
            return None
        issued = forge.tokens.find_usable(_password(request.headers.get("authorization", "")))
        if issued is None or route["repository"] not in issued.repositories:
            self.refused += 1
            return ApiAnswer(401, {"message": "Credentials needed"}, _CHALLENGE)
        if route["oid"] == "batch":
            return self._batch(f"{forge.url}{request.path.removesuffix('batch')}", request.json())
        if request.method == "PUT":
            return self._keep(route["oid"], request.body) if issued.push else ApiAnswer(403)
        kept = self.objects.get(route["oid"])
        return kept and ApiAnswer(200, kept, content_type="application/octet-stream")  # type: ignore[return-value]

    def _batch(self, url: str, query: dict[str, Any]) -> ApiAnswer:
        operation = query["operation"]
        objects = [
            {**each, "actions": {operation: {"href": url + each["oid"]}}}
            if operation == "download" or each["oid"] not in self.objects
            else each
            for each in query["objects"]
        ]
        answer = json.dumps({"transfer": "basic", "objects": objects})
        return ApiAnswer(200, answer, content_type="application/vnd.git-lfs+json")

    def _keep(self, oid: str, body: bytes) -> ApiAnswer:
        if hashlib.sha256(body).hexdigest() != oid:
            return ApiAnswer(422, {"message": "Not what was announced"})
        self.objects[oid] = body.decode("ascii")
        return ApiAnswer(200)


def _password(authorization: str) -> str:
    scheme, _, encoded = authorization.partition(" ")
    try:
        text = base64.b64decode(encoded).decode() if scheme == "Basic" else ""
    except (binascii.Error, UnicodeDecodeError):
        text = ""
    return text.partition(":")[2]
