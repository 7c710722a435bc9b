"""A small OpenAI-compatible server that answers from a function, each time after the same wait."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Reply = Callable[[dict[str, Any]], str | int]
"""From a request's JSON to the message's text, or to an HTTP status that is answered instead."""


class ScriptedServer:
    """Chat completions on the loopback interface, with connections kept open.

    Attributes:
        requests: how many it has answered.
        connections: how many are open.
    """

    def __init__(self, reply: Reply, *, latency: float = 0.0) -> None:
        """Answer by ``reply`` after ``latency`` seconds; how many callers wait is of no matter."""
        self.reply, self.latency = reply, latency
        self.requests = 0
        self.connections = 0

    async def serve(self, port: int = 0) -> asyncio.Server:
        """Listen on ``port``, or on a free one."""
        return await asyncio.start_server(self._connection, "127.0.0.1", port, backlog=512)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                request = json.loads(await reader.readexactly(_length(head)))
                await asyncio.sleep(self.latency)
                writer.write(self._answer(request))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the client has left, or the server ends
        finally:
            self.connections -= 1
            writer.close()

    def _answer(self, request: dict[str, Any]) -> bytes:
        self.requests += 1
        answer = self.reply(request)
        status = answer if isinstance(answer, int) else 200
        data = (
            {"error": {"message": "as scripted"}} if status != 200 else _completion(request, answer)
        )
        body = json.dumps(data).encode()
        head = (
            f"HTTP/1.1 {status} Scripted\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(value)
    return 0


def _completion(request: dict[str, Any], text: str | int) -> dict[str, Any]:
    asked = sum(len(str(message.get("content")).split()) for message in request["messages"])
    said = len(str(text).split())
    return {
        "id": "scripted",
        "object": "chat.completion",
        "created": 0,
        "model": request["model"],
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text},
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": asked,
            "completion_tokens": said,
            "total_tokens": asked + said,
        },
    }


@contextmanager
def running(server: ScriptedServer) -> Iterator[str]:
    """The server in a thread of its own; gives its base URL."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="scripted-server", daemon=True)
    thread.start()
    listening = asyncio.run_coroutine_threadsafe(server.serve(), loop).result()
    try:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"
    finally:
        asyncio.run_coroutine_threadsafe(_end(listening), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _end(listening: asyncio.Server) -> None:
    """Take no more connections, and close those that are open."""
    listening.close()
    connections = asyncio.all_tasks() - {asyncio.current_task()}
    for connection in connections:
        connection.cancel()
    await asyncio.gather(*connections, return_exceptions=True)


def asked_for(request: dict[str, Any]) -> str | None:
    """The title of the JSON schema that a request asks for, or None for plain text."""
    form = request.get("response_format") or {}
    name = form.get("json_schema", {}).get("name")
    return str(name) if name else None
