"""Loaded by pytest before Django's settings: the suite has a data folder, and so a PostgreSQL, of its own."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

# Root's PostgreSQL runs as another user, who must reach the folder: pytest's own temporary folders are closed to it.
DATA_DIR = Path(tempfile.mkdtemp(prefix="netra-tests-"))
DATA_DIR.chmod(0o755)
atexit.register(shutil.rmtree, DATA_DIR, ignore_errors=True)

for name in [name for name in os.environ if name.startswith("NETRA_") and name != "NETRA_MODEL_EXAMPLES"]:
    del os.environ[name]
os.environ.pop("DATABASE_URL", None)
os.environ.pop("REDIS_URL", None)
os.environ["NETRA_DATA_DIR"] = str(DATA_DIR)
os.environ["NETRA_OFFLINE_TOKENS_PER_SECOND"] = "0"
