"""Data folders whose database is there already: copies of one that is made once in a run of the tests.

To make one takes seconds, by `initdb` and `manage.py migrate`; to copy it takes a tenth of a second. What is tested of
the making begins with an empty folder.
"""

from __future__ import annotations

import fcntl
import functools
import shutil
import subprocess
from pathlib import Path

from netra.postgres import EmbeddedPostgres
from tests.environment import RUN_FOLDER
from tests.live import NetraProcess

# A server that is killed loses nothing by it: what it has written is the system's. Only a machine that dies loses it.
_SETTINGS = "fsync = off\nfull_page_writes = off\n"
_prepared: set[Path] = set()


def prepare(folder: Path) -> None:
    """Give a new data folder a database with all tables and no rows of people."""
    subprocess.run(["cp", "-pR", _template() / "postgres", folder], check=True)
    _prepared.add(folder)


def is_prepared(folder: Path) -> bool:
    return folder in _prepared


@functools.cache
def _template() -> Path:
    """What is copied. The first of the run's processes to ask makes it, while others wait."""
    template = RUN_FOLDER / "template"
    with (RUN_FOLDER / "template.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not template.exists():
            making = RUN_FOLDER / "making"
            shutil.rmtree(making, ignore_errors=True)  # of somebody who was interrupted
            making.mkdir()
            with EmbeddedPostgres(making):
                NetraProcess("template", making).manage("migrate", "--verbosity", "0")
            with (making / "postgres" / "data" / "postgresql.conf").open("a") as file:
                file.write(_SETTINGS)
            making.rename(template)
    return template
