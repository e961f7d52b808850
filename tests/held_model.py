"""A model server that speaks OpenAI's protocol and says what the test wants, when the test wants it.

    with HeldModel() as model:
        ...model.environment leads Netra's `openai:…` to it

A question with "mute" in it gets no answer at all, one with "wait" its beginning; both are held until `release`. Any
other is answered at once. Who asks for a title of a conversation gets one, and nobody hears of it.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal, Self

from tests.processes import HOST, until

BEGINNING = "One moment. "
LOOK_SECONDS = 0.02
Happening = Literal["begun", "ended", "abandoned"]


class HeldModel:
    """What was asked is in `history`, in the order in which it happened."""

    def __init__(self) -> None:
        self.history: list[tuple[Happening, str]] = []
        self._released = threading.Event()
        self._server = _Server((HOST, 0), self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(LOOK_SECONDS,), name="held model")

    @property
    def environment(self) -> dict[str, str]:
        return {"OPENAI_BASE_URL": f"http://{HOST}:{self._server.server_port}/v1", "OPENAI_API_KEY": "sk-of-a-test"}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def release(self) -> None:
        """Let every answer be completed: those that are held, and those that come."""
        self._released.set()

    def hold(self) -> None:
        self._released.clear()

    def until(self, happening: Happening, question: str) -> None:
        until(lambda: (happening, question) in self.history, what=f"{question!r} to be {happening}")

    def asked(self, marker: str) -> list[tuple[Happening, str]]:
        """The history of the questions with this word in them."""
        return [entry for entry in self.history if marker in entry[1]]

    def answer(self, question: str, connection: socket.socket) -> None:
        """Called in a thread for each request."""
        if question.startswith("<question>"):
            with contextlib.suppress(OSError):
                connection.sendall(_HEAD)
                _stream(connection, {"content": "A held conversation"})
                _stream(connection, {}, "stop", usage=_USAGE)
                connection.sendall(b"data: [DONE]\n\n")
            return
        self.history.append(("begun", question))
        try:
            if "mute" in question:
                self._hold(connection)
            connection.sendall(_HEAD)
            _stream(connection, {"content": BEGINNING})
            if "wait" in question:
                self._hold(connection)
            # Before the client can know of it, and ask the next.
            self.history.append(("ended", question))
            _stream(connection, {"content": answer_to(question)})
            _stream(connection, {}, "stop", usage=_USAGE)
            connection.sendall(b"data: [DONE]\n\n")
        except OSError:
            self.history.append(("abandoned", question))

    def _hold(self, connection: socket.socket) -> None:
        """Until the release. Raises ConnectionError when the client goes away."""
        while not self._released.is_set():
            readable, _, _ = select.select([connection], [], [], LOOK_SECONDS)
            if readable and not connection.recv(1024):
                raise ConnectionError("the client went away")


def answer_to(question: str) -> str:
    return f"You asked: {question}"


def _said(content: str | list[dict[str, Any]]) -> str:
    """A question with files comes in parts, the question last."""
    return content if isinstance(content, str) else str(content[-1].get("text"))


_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
_USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}


def _stream(connection: socket.socket, delta: dict[str, Any], finish_reason: str | None = None, **more: Any) -> None:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    chunk = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "held", "choices": [choice]}
    connection.sendall(f"data: {json.dumps(chunk | more)}\n\n".encode())


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], model: HeldModel) -> None:
        super().__init__(address, _Handler)
        self.model = model


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.close_connection = True
        self.server.model.answer(_said(body["messages"][-1]["content"]), self.connection)

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            super().handle()

    def log_message(self, *_: object) -> None:
        pass
