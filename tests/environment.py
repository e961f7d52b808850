"""Loaded by pytest before Django's settings: the suite has a data folder, and so a PostgreSQL, of its own."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

# Root's PostgreSQL runs as another user, who must reach the folder: pytest's own temporary folders are closed to it.


def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="netra-tests-")).resolve()
    folder.chmod(0o755)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


DATA_DIR = _folder()
# What the processes of one run share: the first of them makes it, and those that it starts are told.
RUN_FOLDER = Path(os.environ.get("TESTS_RUN_FOLDER") or _folder())
os.environ["TESTS_RUN_FOLDER"] = str(RUN_FOLDER)

for name in [name for name in os.environ if name.startswith("NETRA_") and name != "NETRA_MODEL_EXAMPLES"]:
    del os.environ[name]
os.environ.pop("DATABASE_URL", None)
os.environ.pop("REDIS_URL", None)
os.environ["NETRA_DATA_DIR"] = str(DATA_DIR)
os.environ["NETRA_OFFLINE_TOKENS_PER_SECOND"] = "0"
