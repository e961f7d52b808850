"""`manage.py serve`: everything in one process, ended in order."""

from __future__ import annotations

import os
import secrets
import sys
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.core.management.base import BaseCommand, CommandParser

from netra import config, database, garbage, serving

DEMO_USER = "demo"


class Command(BaseCommand):
    help = "Serve Netra: migrate, make the demo user in development, open for traffic."
    # A missing database must not keep the checks from naming what else is wrong.
    requires_system_checks = ["__all__"]

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
        parser.add_argument("--port", type=int, default=8000, help="port to listen on")
        parser.add_argument("--server", choices=config.SERVERS, help="the server; otherwise it is ASGI_SERVER's")
        parser.add_argument("--no-migrate", action="store_true", help="leave the database's schema as it is")

    def handle(self, *_args: Any, host: str, port: int, server: str | None, no_migrate: bool, **_options: Any) -> None:
        configuration = config.load()
        if not 0 < port < 65536:
            raise CommandError(f"--port: {port} is not a port.")
        database.wait_until_ready(configuration)
        if not no_migrate:
            call_command("migrate", verbosity=0, interactive=False)
        password = self._demo_user() if settings.DEVELOPMENT else None
        self._serve(server or configuration.asgi_server, host, port, password)

    def _demo_user(self) -> str | None:
        """Make the demo user when there is no user at all. Returns a password that was made here, to be shown once."""
        users = get_user_model()
        given = os.environ.get("NETRA_DEMO_PASSWORD")
        demo = users.objects.filter(**{users.USERNAME_FIELD: DEMO_USER}).first()
        if demo is not None:
            if given and not demo.check_password(given):
                demo.set_password(given)
                demo.save(update_fields=["password"])
            return None
        if users.objects.exists():
            return None
        password = given or secrets.token_urlsafe(9)
        users.objects.create_superuser(**{users.USERNAME_FIELD: DEMO_USER, "password": password, "email": ""})
        return None if given else password

    def _serve(self, name: str, host: str, port: int, password: str | None) -> None:
        # It opens the database and needs Django: not before this process is to serve.
        from netra.asgi import application

        server = serving.build(name, application, host=host, port=port)
        garbage.search_seldom()
        server.run_to_end(on_open=lambda: self._announce(host, port, password))
        if not server.opened:
            raise CommandError(f"Port {port} of {host} is not free, or not allowed: choose another with --port.")

    def _announce(self, host: str, port: int, password: str | None) -> None:
        shown = "localhost" if host in ("127.0.0.1", "0.0.0.0", "::1", "::") else host  # noqa: S104 - only compared
        lines = [f"Netra is open at http://{shown}:{port}/"]
        if password is not None:
            lines.append(f"Sign in as {DEMO_USER} with the password {password} (shown only this once).")
        lines.append("Ctrl-C ends it.")
        sys.stdout.write("\n".join(lines) + "\n")
        sys.stdout.flush()
