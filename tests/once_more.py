"""Run once more, one after the other, what failed in the run before: `make test` asks, after a run that ended.

Many modules at once keep a small machine so busy that a wait can end too early in any of them. What fails alone, too,
has failed, and so have many. What passes now is named: it is to be looked at.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

MOST = 5
LAST_FAILED = Path(".pytest_cache/v/cache/lastfailed")


def main() -> int:
    failed = sorted(json.loads(LAST_FAILED.read_text())) if LAST_FAILED.exists() else []
    if not 0 < len(failed) <= MOST:
        print(f"{len(failed)} tests failed: at most {MOST} are run once more.")
        return 1
    options = ["--last-failed", "--last-failed-no-failures=none", "-m", "not nightly"]
    status = subprocess.run([sys.executable, "-m", "pytest", *options], check=False).returncode
    if status == 0:
        print("Failed among others, and passed alone:", *failed, sep="\n  ")
    return status


if __name__ == "__main__":
    sys.exit(main())
