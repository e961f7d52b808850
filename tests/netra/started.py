"""Python processes of their own, with nothing of the caller's settings."""

from __future__ import annotations

import os
import subprocess
import sys

from netra.config import PROJECT_ROOT


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run it to its end, with these settings alone."""
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    return subprocess.run(
        [sys.executable, *arguments],
        env=inherited | environment,
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
