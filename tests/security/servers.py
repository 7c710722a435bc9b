"""A model server on the loopback interface that tells back all it was sent, and remembers it."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class EchoServer:
    """Answers every request with ``status`` and what it was sent; 200 is a chat completion."""

    def __init__(self, status: int, reply: str = "Answer: 25") -> None:
        self.status, self.reply = status, reply
        self.seen: list[str] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
                told = f"{self.command} {self.path}\n{self.headers}\n{body}"
                outer.seen.append(told)
                data, kind = outer.answer(told, stream='"stream":true' in body)
                self.send_response(outer.status)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_CONNECT = do_POST

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.http.server_port
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, told: str, *, stream: bool) -> tuple[bytes, str]:
        """Bytes and their type."""
        if self.status != 200:
            refusal = {"error": {"message": f"no entry for {told}", "code": "invalid_api_key"}}
            return json.dumps(refusal).encode(), "application/json"
        message = {"role": "assistant", "content": self.reply}
        choice = {"index": 0, "finish_reason": "stop", "delta" if stream else "message": message}
        kind = "chat.completion.chunk" if stream else "chat.completion"
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        whole = {"id": "x", "object": kind, "created": 1, "model": "m", "choices": [choice]}
        text = json.dumps(whole | {"usage": usage})
        if stream:
            return f"data: {text}\n\ndata: [DONE]\n\n".encode(), "text/event-stream"
        return text.encode(), "application/json"


@contextmanager
def echo_server(status: int = 401) -> Iterator[EchoServer]:
    server = EchoServer(status)
    try:
        yield server
    finally:
        server.http.shutdown()
        server.http.server_close()
