"""A storage whose process is killed when a file is in it, and before anybody hears of it."""

from __future__ import annotations

import os
import signal
from typing import Any

from django.core.files.storage import FileSystemStorage


class KillingStorage(FileSystemStorage):
    def _save(self, name: str, content: Any) -> str:
        super()._save(name, content)  # type: ignore[misc]  # the stubs leave it out
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("the process was killed")
