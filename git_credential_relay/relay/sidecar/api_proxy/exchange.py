"""What one request comes to: whose it is, with which token it goes out, what comes back."""

from __future__ import annotations

from git_credential_relay.config import Config
from git_credential_relay.credential.credential import Credential
from git_credential_relay.credential.forge import Target
from git_credential_relay.relay.sidecar.api_proxy.dialogue import Dialogue
from git_credential_relay.relay.sidecar.api_proxy.head import SAFE_METHODS, answer_headers
from git_credential_relay.relay.sidecar.api_proxy.memory import Memory, parse_location
from git_credential_relay.relay.sidecar.api_proxy.refusal import ForeignUrlError
from git_credential_relay.relay.sidecar.api_proxy.route import (
    MAX_GRAPHQL,
    Api,
    find_api,
    graphql_repository,
    rest_repository,
    speakable,
)
from git_credential_relay.relay.sidecar.api_proxy.upstream import (
    Answer,
    Call,
    Upstreams,
    pieces_of,
)
from git_credential_relay.relay.sidecar.api_proxy.workspace import Workspace
from git_credential_relay.trace import Trace

UNAUTHORIZED = 401


class Exchange:
    """Answers requests of one workspace."""

    def __init__(
        self, workspace: Workspace, memory: Memory, upstreams: Upstreams, trace: Trace
    ) -> None:
        self._workspace = workspace
        self._config: Config = workspace.config
        self._memory = memory
        self._upstreams = upstreams
        self._trace = trace

    async def answer(self, dialogue: Dialogue) -> None:
        """Answer the request. Raises RelayError where there is an error to be told instead."""
        head = dialogue.head
        if not head.has_body:
            async for _ in dialogue.body():
                pass  # nothing but its end, from which on the client is watched
        api = find_api(self._config.forges, head.host, head.path)
        if api is None or head.is_led_from_elsewhere:
            await self._follow(dialogue)
        else:
            await self._ask(dialogue, api)

    async def _ask(self, dialogue: Dialogue, api: Api) -> None:
        """Ask a forge's API, with a token whatever the client has sent for one."""
        head, memory = dialogue.head, self._memory
        body = await _readable(dialogue, api)
        repository = graphql_repository(api, body) if body else rest_repository(api)
        target = Target(api.forge, repository, "api")
        refused = memory.refused_sha256(target)
        # Another refusal in a row is no matter of this token; each would cost another one.
        is_final = refused is not None or head.has_body or head.method not in SAFE_METHODS
        while True:
            credential = await self._workspace.acquire(target, refused)
            pieces = dialogue.body() if body is None else pieces_of(body)
            headers = head.headers_for(head.host, f"token {credential.password.reveal()}")
            call = Call(head.method, api.forge.scheme, head.host, head.target, headers, pieces)
            async with self._upstreams.send(self._config, call) as answer:
                self._learn(answer, target, head.host, credential)
                self._tell(dialogue, answer, target=target, sha256=credential.token_sha256)
                if answer.status != UNAUTHORIZED or is_final:
                    await _deliver(dialogue, answer)
                    return
            refused, is_final = credential.token_sha256, True

    async def _follow(self, dialogue: Dialogue) -> None:
        """Ask where the forge has just redirected to, without a token; nobody else.

        Otherwise this were an open proxy out of the network that the agent is closed in.
        """
        head = dialogue.head
        if head.method not in SAFE_METHODS or head.has_body:
            raise _foreign(head.host)
        if not self._memory.has_location(head.host, head.target):
            raise _foreign(head.host)
        own = [forge for forge in speakable(self._config.forges) if forge.host == head.host]
        scheme = own[0].scheme if own else "https"
        headers = head.headers_for(head.host, None)
        call = Call(head.method, scheme, head.host, head.target, headers, pieces_of(b""))
        send = self._upstreams.send if own else self._upstreams.send_to_stranger
        async with send(self._config, call) as answer:
            self._tell(dialogue, answer, target="redirect")
            await _deliver(dialogue, answer)

    def _learn(self, answer: Answer, target: Target, host: str, credential: Credential) -> None:
        if answer.status == UNAUTHORIZED:
            self._memory.note_refused(target, credential.token_sha256)
        else:
            self._memory.note_taken(target)
        if 300 <= answer.status < 400:
            for name, value in answer.headers:
                place = parse_location(value, target.forge, host)
                if name.lower() == b"location" and place is not None:
                    self._memory.note_location(place)

    def _tell(self, dialogue: Dialogue, answer: Answer, **facts: object) -> None:
        # Not the path: what a redirect leads to is often a secret of its own.
        head = dialogue.head
        self._trace("gh", method=head.method, host=head.host, status=answer.status, **facts)


async def _readable(dialogue: Dialogue, api: Api) -> bytes | None:
    """A GraphQL request's body, which says what it is about; None for what just passes through."""
    head = dialogue.head
    if not head.has_body:
        return b""
    if not api.is_graphql or head.length is None or head.length > MAX_GRAPHQL:
        return None
    return b"".join([piece async for piece in dialogue.body()])


async def _deliver(dialogue: Dialogue, answer: Answer) -> None:
    await dialogue.start(answer.status, answer.reason, answer_headers(answer.headers))
    async for piece in answer.pieces():
        await dialogue.send(piece)
    await dialogue.end()


def _foreign(host: str) -> ForeignUrlError:
    return ForeignUrlError(
        f"{host} is asked neither as a forge's API nor where one redirected to",
        hint="only the API of a forge in GIT_CREDENTIAL_RELAY_HOSTS is reached here",
    )
