"""The releases, and the source of each as it was: what runs beside the present version during an upgrade."""

from __future__ import annotations

import functools
import io
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.processes import REPOSITORY


@dataclass(frozen=True, slots=True)
class Release:
    """`migration` is the newest of `chat` in it."""

    version: str
    commit: str
    migration: str


RELEASES = (Release("0.1.0", "c040e01983e5412ba96708e69c7991adf10a1e32", "0008_preferences"),)
PREVIOUS = RELEASES[-1]


class SourceMissing(Exception):
    """The commit of a release is neither in this clone nor given by the repository that it was cloned from."""


def lay_out(release: Release, folder: Path) -> None:
    """Put the release's files into the folder. Raises SourceMissing."""
    with tarfile.open(fileobj=io.BytesIO(archive_of(release))) as archive:
        archive.extractall(folder, filter="data")


@functools.cache
def archive_of(release: Release, repository: Path = REPOSITORY) -> bytes:
    """Its files as tar. A clone without history asks the repository that it comes from for that one commit.

    Raises SourceMissing.
    """
    if shutil.which("git") is None:
        raise SourceMissing("git, which has the releases, is not installed.")
    if (found := _archived(repository, release)) is not None:
        return found
    origin = _git(repository, "remote", "get-url", "origin").stdout.decode().strip()
    with tempfile.TemporaryDirectory(prefix="netra-release-") as folder:
        _git(Path(folder), "init", "--quiet", "--bare")
        if origin:
            _git(Path(folder), "fetch", "--quiet", "--depth=1", origin, release.commit)
        if (found := _archived(Path(folder), release)) is not None:
            return found
    raise SourceMissing(
        f"Release {release.version} is commit {release.commit[:12]}, which this clone does not have: "
        "`git fetch --unshallow` brings it."
    )


def _archived(repository: Path, release: Release) -> bytes | None:
    made = _git(repository, "archive", "--format=tar", release.commit)
    return made.stdout if made.returncode == 0 else None


def _git(folder: Path, *command: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", *command], cwd=folder, capture_output=True, check=False)
