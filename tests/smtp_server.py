"""A server that takes mails and keeps them: SMTP (RFC 5321) as far as a sender needs it, with TLS and AUTH PLAIN.

with SmtpServer() as server:
    ...
    mail = server.wait_for_mail()
"""

from __future__ import annotations

import base64
import email
import email.policy
import queue
import socketserver
import ssl
import threading
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

from tests.processes import HOST, PATIENCE_SECONDS


@dataclass(frozen=True, slots=True)
class Mail:
    sender: str
    recipients: tuple[str, ...]
    message: EmailMessage
    encrypted: bool
    credentials: str | None

    @property
    def text(self) -> str:
        return cast("str", self.message.get_content()).replace("\r\n", "\n")


class _Session(socketserver.StreamRequestHandler):
    server: SmtpServer
    encrypted = False
    credentials: str | None = None

    def handle(self) -> None:
        if self.server.context is not None and not self.server.starttls:
            self._encrypt()
        self._say("220 mail")
        self._clear()
        while line := self.rfile.readline():
            verb, _, argument = line.decode("utf-8").strip().partition(" ")
            if verb.upper() == "QUIT":
                self._say("221 bye")
                return
            self._answer(verb.upper(), argument)

    def finish(self) -> None:
        super().finish()
        self.connection.close()

    def _clear(self) -> None:
        self.sender, self.recipients = "", []  # type: ignore[var-annotated]

    def _say(self, *lines: str) -> None:
        self.wfile.write("".join(f"{line}\r\n" for line in lines).encode())
        self.wfile.flush()

    def _encrypt(self) -> None:
        assert self.server.context is not None
        self.connection = self.server.context.wrap_socket(self.connection, server_side=True)
        self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb")
        self.encrypted = True

    def _answer(self, verb: str, argument: str) -> None:
        if verb in ("EHLO", "HELO"):
            self._say("250-mail", *(["250-STARTTLS"] if self.server.starttls else []), "250 AUTH PLAIN")
        elif verb == "STARTTLS":
            self._say("220 go on")
            self._encrypt()
        elif verb == "AUTH":
            self.credentials = base64.b64decode(argument.partition(" ")[2]).decode()
            self._say("235 ok")
        elif self.server.refusals.qsize():
            self._say(self.server.refusals.get())
        elif verb == "MAIL":
            self.sender = argument.partition("<")[2].partition(">")[0]
            self._say("250 ok")
        elif verb == "RCPT":
            self.recipients.append(argument.partition("<")[2].partition(">")[0])
            self._say("250 ok")
        elif verb == "DATA":
            self._say("354 go on")
            lines = list(iter(self.rfile.readline, b".\r\n"))
            body = b"".join(line.removeprefix(b".") if line.startswith(b"..") else line for line in lines)
            message = email.message_from_bytes(body, policy=email.policy.default)
            mail = Mail(self.sender, tuple(self.recipients), message, self.encrypted, self.credentials)
            self.server.mails.put(mail)
            self._clear()
            self._say("250 taken")
        else:
            self._say("250 ok")


class SmtpServer(socketserver.ThreadingTCPServer):
    """On a free port of this machine. With a `certificate` TLS from the beginning, or with `starttls` after it.

    Each of `refusals` answers one command instead of what should.
    """

    daemon_threads = True

    def __init__(self, certificate: Path | None = None, *, starttls: bool = False) -> None:
        super().__init__((HOST, 0), _Session)
        self.port = int(self.server_address[1])
        self.starttls = starttls
        self.context: ssl.SSLContext | None = None
        if certificate is not None:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(certificate)
        self.mails: queue.Queue[Mail] = queue.Queue()
        self.refusals: queue.Queue[str] = queue.Queue()
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that breaks off, or trusts no certificate of ours, is one of the cases."""

    def wait_for_mail(self) -> Mail:
        return self.mails.get(timeout=PATIENCE_SECONDS)
