"""`manage.py probe`: look at a deployment from outside. It needs nothing of this machine's own Netra."""

from __future__ import annotations

import asyncio
import getpass
import json
import os
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from netra.probe import WrongUsage, probe, read_target, to_json, to_text
from netra.probe.target import TIMEOUT_SECONDS

PASSWORD_VARIABLE = "NETRA_PROBE_PASSWORD"  # noqa: S105 - a name
WRONG_USAGE, INTERRUPTED = 2, 130


class Command(BaseCommand):
    help = (
        "Probe a deployment stage by stage, from its name to a resumed run, and say why the first stage that fails "
        "does. Exit status: 0 all passed, 1 a stage failed, 2 wrong usage, 3 passed, but no credentials were given."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("url", metavar="URL", help="the deployment's address, as https://chat.example.org")
        parser.add_argument("--token", metavar="JWT", help="an access token, instead of signing in")
        parser.add_argument(
            "--username",
            metavar="NAME",
            help=f"sign in as this user; the password is read from --password-file, {PASSWORD_VARIABLE} or a prompt",
        )
        parser.add_argument("--password-file", metavar="FILE", help="a file whose first line is the password")
        parser.add_argument("--agent", metavar="NAME", help="the agent to ask; otherwise the default one")
        parser.add_argument("--origin", metavar="ORIGIN", help="connect as a page of this origin does")
        parser.add_argument(
            "--timeout",
            metavar="SECONDS",
            type=float,
            default=TIMEOUT_SECONDS,
            help="how long one answer is waited for (%(default)g); a run may take twelve times as long",
        )
        parser.add_argument("--insecure", action="store_true", help="accept any certificate")
        parser.add_argument("--ca-file", metavar="FILE", help="trust the certificates in this file instead")
        parser.add_argument("--json", action="store_true", help="print the report as JSON")

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            target = read_target(
                options["url"],
                ca_file=options["ca_file"],
                insecure=options["insecure"],
                password=_password(options["username"], options["password_file"]),
                **{name: options[name] for name in ("token", "username", "agent", "origin", "timeout")},
            )
        except WrongUsage as error:
            raise CommandError(f"{error}.", returncode=WRONG_USAGE) from None
        try:
            report = asyncio.run(probe(target))
        except KeyboardInterrupt:
            raise CommandError("Interrupted.", returncode=INTERRUPTED) from None
        shown = json.dumps(to_json(report), indent=2, ensure_ascii=False) if options["json"] else to_text(report)
        self.stdout.write(shown)
        sys.exit(report.exit_status)


def _password(username: str | None, file: str | None) -> str | None:
    """Raises WrongUsage when there is nobody to ask."""
    if username is None:
        if file is not None:
            raise WrongUsage("--password-file: whose password it is says --username")
        return None
    if file is not None:
        try:
            return Path(file).read_text().partition("\n")[0].removesuffix("\r")
        except (OSError, UnicodeDecodeError) as error:
            raise WrongUsage(f"--password-file: {file} cannot be read ({error})") from None
    if given := os.environ.get(PASSWORD_VARIABLE):
        return given
    if not sys.stdin.isatty():
        raise WrongUsage(f"--username: give the password as --password-file or {PASSWORD_VARIABLE}")
    return getpass.getpass(f"Password of {username}: ")
