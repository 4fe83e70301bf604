"""A language model on loopback that knows one thing: to run the command it was asked to run.

It speaks as much of OpenAI's chat completions as opencode's own bundled client reads.
"""

from __future__ import annotations

import json
from typing import Any

from git_credential_relay.demo.loopback import LoopbackHandler, LoopbackServer

NAME = "fake"
MODEL = "m"
ASK = "RUN: "


class Provider(LoopbackServer):
    """Answers ASK and a command with a call of the tool bash, and the tool's result with "done"."""

    def __init__(self) -> None:
        super().__init__(_ProviderHandler)

    def configuration(self) -> dict[str, Any]:
        """The opencode.json that makes this the only model."""
        model = {"name": MODEL, "tool_call": True, "limit": {"context": 100000, "output": 4000}}
        return {
            "model": f"{NAME}/{MODEL}",
            "small_model": f"{NAME}/{MODEL}",
            "share": "disabled",
            "autoupdate": False,
            "permission": {"bash": "allow"},
            "provider": {
                NAME: {
                    "npm": "@ai-sdk/openai-compatible",
                    "name": NAME,
                    "options": {"baseURL": f"http://127.0.0.1:{self.port}/v1", "apiKey": "none"},
                    "models": {MODEL: model},
                }
            },
        }


class _ProviderHandler(LoopbackHandler):
    def do_POST(self) -> None:
        """Stream the one answer that the conversation so far calls for."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        delta, reason = _reply(asked)
        choices: list[dict[str, Any]] = [
            {"delta": {"role": "assistant", **delta}},
            {"delta": {}, "finish_reason": reason},
        ]
        for choice in choices:
            chunk = {
                "id": "chatcmpl-1",
                "object": "chat.completion.chunk",
                "model": MODEL,
                "choices": [{"index": 0, "finish_reason": None, **choice}],
            }
            self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
        self.wfile.write(b"data: [DONE]\n\n")


def _reply(asked: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """What to say next, and why it ends there."""
    last = asked["messages"][-1]
    text = json.dumps(last["content"]) if last["role"] == "user" else ""
    # Titles and summaries are asked for without tools.
    if ASK not in text or not asked.get("tools"):
        return {"content": "done"}, "stop"
    content = last["content"]
    texts = [content] if isinstance(content, str) else [part.get("text", "") for part in content]
    [command] = [text.partition(ASK)[2].strip() for text in texts if ASK in text]
    arguments = json.dumps({"command": command, "description": "runs what it was asked to"})
    function = {"name": "bash", "arguments": arguments}
    call = {"index": 0, "id": "call_1", "type": "function", "function": function}
    return {"tool_calls": [call]}, "tool_calls"
