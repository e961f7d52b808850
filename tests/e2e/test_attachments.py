"""Attached files over real servers: sent, asked about, given back; in bounded memory, whoever is killed when."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chat.security_headers import NOTHING
from netra.config import ServerName
from tests.chat.files import FORM, form, image
from tests.clients import Account, Answer, assert_whole, request
from tests.live import Form, LiveServer
from tests.processes import HOST, until

LARGEST = 32 * 1024 * 1024
# What the interpreter and the allocator take for anything, and pieces on their way; far from what the file takes.
ALLOWED_GROWTH = 16 * 1024 * 1024
PIECE = b"0123456789abcde\n" * 4096


def upload(server: LiveServer, account: Account, content: bytes, name: str = "notes.txt") -> Answer:
    body, headers = form(content, name), {"Content-Type": FORM}
    return request(server.url, "POST", "/api/attachments", token=account.token(), body=body, headers=headers)


async def test_a_file_is_sent_asked_about_again_and_given_back(server: LiveServer) -> None:
    account = server.add_user()
    log, picture = upload(server, account, b"begin\nend\n", "server.log"), upload(server, account, image(), "p.png")
    assert (log.status, picture.status) == (201, 201)
    files = [log.body, picture.body]
    async with server.connect(account) as client:
        assert client.established["limits"]["max_attachments"] == 10
        assert client.established["limits"]["max_attachment_bytes"] == 10_485_760
        question: dict[str, Any] = {"content": "What does the log say?", "attachments": [file["id"] for file in files]}
        accepted = await client.post(**question)
        events = await client.events(accepted["run_id"])
        assert_whole(events)
        assert events[0]["data"]["message"]["attachments"] == files
        said = events[-1]["data"]["message"]["content"]
        assert "**server.log** is text of 10 bytes, 2 lines. It begins:\n\n```text\nbegin\nend\n```" in said
        assert "I cannot see images." in said
        again = await client.request(type="regenerate", message_id=accepted["message_id"])
        assert (await client.events(again["run_id"]))[-1]["data"]["message"]["content"] == said
        following = await client.ask("What is 6 * 7?", thread_id=accepted["thread_id"])
        assert "server.log" not in following[-1]["data"]["message"]["content"]
        sent = await client.request(type="user_message", **question)
        assert sent["error_code"] == "ATTACHMENT_SENT"
        many = await client.request(type="user_message", content="x", attachments=[log.body["id"]] * 51)
        assert many["error_code"] == "INVALID_MESSAGE"
        assert client.state.runs[accepted["run_id"]]["question"]["attachments"] == files  # type: ignore[index]
    given = server.http("GET", log.body["href"], token=account.token())
    assert (given.status, given.body) == (200, "begin\nend\n")
    assert given.headers["Content-Security-Policy"] == NOTHING
    assert server.http("GET", log.body["href"], token=server.add_user().token()).status == 404
    assert server.http("DELETE", f"/api/threads/{accepted['thread_id']}", token=account.token()).status == 204
    assert server.http("GET", log.body["href"], token=account.token()).status == 404


# Memory


def pieces(content: bytes, times: int) -> Iterator[bytes]:
    head, tail = form(b"\0").split(b"\0")
    yield head
    for _ in range(times):
        yield content
    yield tail


@contextlib.contextmanager
def asked(server: LiveServer, account: Account, method: str, path: str, **options: Any) -> Iterator[Any]:
    connection = http.client.HTTPConnection(HOST, server.port, timeout=60)
    headers = {"Authorization": f"Bearer {account.token()}", **options.pop("headers", {})}
    with contextlib.closing(connection):
        connection.request(method, path, headers=headers, **options)
        yield connection.getresponse()


def peak(server: LiveServer, *, since: bool = False) -> int:
    """Bytes of memory that the process has held at most; with `since`, from now on."""
    process = Path(f"/proc/{server.process.pid}")
    if since:
        (process / "clear_refs").write_text("5")
    [kilobytes] = [
        line.split()[1] for line in (process / "status").read_text().splitlines() if line.startswith("VmHWM:")
    ]
    return int(kilobytes) * 1024


def test_a_file_of_the_largest_size_is_taken_and_given_in_bounded_memory(
    data_dir: Path, asgi_server: ServerName
) -> None:
    with LiveServer(data_dir, asgi_server=asgi_server, max_attachment_bytes=LARGEST) as server:
        account = server.add_user()
        for _ in range(2):  # what is imported and kept once
            small = upload(server, account, PIECE * 10)
            server.http("GET", small.body["href"], token=account.token())
        before = peak(server, since=True)
        length = len(b"".join(pieces(b"", 1))) + LARGEST
        headers = {"Content-Type": FORM, "Content-Length": str(length)}
        body = pieces(PIECE, LARGEST // len(PIECE))
        with asked(server, account, "POST", "/api/attachments", body=body, headers=headers) as response:
            told = json.loads(response.read())
            assert (response.status, told["bytes"], told["media_type"]) == (201, LARGEST, "text/plain"), told
        uploading = peak(server) - before
        digest = hashlib.sha256()
        with asked(server, account, "GET", told["href"]) as response:
            while piece := response.read(65_536):
                digest.update(piece)
        assert digest.digest() == hashlib.sha256(PIECE * (LARGEST // len(PIECE))).digest()
        downloading = peak(server) - before
        print(f"{asgi_server}: {uploading >> 10} KiB more for an upload, {downloading >> 10} KiB after the download")
        assert max(uploading, downloading) < ALLOWED_GROWTH
        assert not server.traceback(), server.traceback()


def test_a_body_that_is_much_too_large_is_refused_with_its_code(start_server: Any, form: Form) -> None:
    server = start_server(form=form, max_attachment_bytes=1000)
    account = server.add_user()
    kind = {"Content-Type": FORM}
    over = upload(server, account, b"x" * 1001)
    assert (over.status, over.body["error_code"]) == (413, "ATTACHMENT_TOO_LARGE")
    for path, code in (("/api/attachments", "ATTACHMENT_TOO_LARGE"), ("/api/threads", "MESSAGE_TOO_LARGE")):
        body = pieces(PIECE, 100)
        with asked(server, account, "POST", path, body=body, headers=kind, encode_chunked=True) as response:
            told = json.loads(response.read())
            assert (response.status, told["error_code"]) == (413, code)
            assert response.headers["X-Correlation-Id"] == told["correlation_id"]
    declared = kind | {"Content-Length": "10000000000"}
    if form == "uvicorn":  # daphne reads to the end, whatever is said
        with asked(server, account, "POST", "/api/attachments", headers=declared) as response:
            assert response.status == 413
    assert server.http("GET", "/health", token=None).status == 200


def test_a_client_that_goes_on_sending_after_its_refusal_can_read_it(start_server: Any) -> None:
    server = start_server(form="uvicorn")  # daphne answers when it has read everything
    head = f"POST /api/threads HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 60000000\r\n\r\n"
    with socket.create_connection((HOST, server.port), timeout=60) as connection:
        connection.sendall(head.encode())
        connection.recv(1, socket.MSG_PEEK)  # it is refused
        for _ in range(100):
            connection.sendall(PIECE)
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as answer:
            assert b" 413 " in (told := answer.read()), told
    assert not server.traceback(), server.traceback()


# Kills


@pytest.mark.nightly
def test_a_process_that_is_killed_between_file_and_row_leaves_nothing_for_long(data_dir: Path) -> None:
    folder = data_dir / "attachments"
    killing = json.dumps({"BACKEND": "tests.killing_storage.KillingStorage", "OPTIONS": {"location": str(folder)}})
    server = LiveServer(data_dir, attachment_storage=killing, sweep_seconds=0.02)
    server.start()
    account = server.add_user()
    with pytest.raises((OSError, http.client.HTTPException)):
        upload(server, account, b"text")
    server.wait()
    [stray] = [path for path in folder.rglob("*") if path.is_file()]
    hours_ago = stray.stat().st_mtime - 2 * 3600
    os.utime(stray, (hours_ago, hours_ago))
    server.configure(attachment_storage="")
    server.start()
    try:
        kept = upload(server, account, b"kept")
        until(lambda: not stray.exists(), 60, what="the stray file to be removed")
        assert server.http("GET", kept.body["href"], token=account.token()).body == "kept"
    finally:
        server.stop()
