#!/usr/bin/env python3
"""Django's command line. Without DATABASE_URL, the embedded PostgreSQL runs for as long as the command does."""

from __future__ import annotations

import contextlib
import os
import sys

from netra import garbage

SERVING = {"serve", "worker"}
WITHOUT_DATABASE = {"help", "--help", "-h", "--version", "version", "collectstatic", "spectacular"}


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "netra.settings")
    command = sys.argv[1] if len(sys.argv) > 1 else "help"
    if command in SERVING:
        garbage.search_hardly()
    from django.core.management import execute_from_command_line

    with contextlib.ExitStack() as stack:
        if command == "probe":
            # It looks at another machine's Netra: nothing of this one is read, made or started.
            from django.conf import settings

            settings.configure(INSTALLED_APPS=["netra"])
        elif command not in WITHOUT_DATABASE:
            from netra import config, database

            stack.enter_context(database.running(config.load()))
        execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
