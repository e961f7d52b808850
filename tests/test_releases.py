"""The source of a release is found in whole clones, and asked for where a clone has no history."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.processes import REPOSITORY
from tests.releases import RELEASES, Release, SourceMissing, archive_of


def git(folder: Path, *command: str) -> str:
    return subprocess.run(["git", *command], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    """Two commits; the first is release 0.1."""
    folder = tmp_path / "origin"
    folder.mkdir()
    git(folder, "init", "--quiet")
    for text in ("old", "new"):
        (folder / "said").write_text(text)
        git(folder, "add", "said")
        git(folder, "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "--quiet", "--message", text)
    return folder


def said(archive: bytes) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(archive)) as read:
        file = read.extractfile("said")
        assert file is not None
        return file.read()


def test_the_source_is_that_of_the_release_with_and_without_history(origin: Path, tmp_path: Path) -> None:
    release = Release("0.1", git(origin, "rev-parse", "HEAD~"), "")
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{origin}", "shallow")
    assert git(tmp_path / "shallow", "log", "--format=%s") == "new"
    for clone in (origin, tmp_path / "shallow"):
        assert said(archive_of(release, clone)) == b"old"


def test_a_clone_that_cannot_have_it_says_so(origin: Path, tmp_path: Path) -> None:
    release = Release("0.1", git(origin, "rev-parse", "HEAD~"), "")
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{origin}", "alone")
    git(tmp_path / "alone", "remote", "remove", "origin")
    with pytest.raises(SourceMissing, match=r"^Release 0\.1 is commit .{12}, which this clone does not have"):
        archive_of(release, tmp_path / "alone")


def test_every_release_is_a_commit_before_the_present_one() -> None:
    try:
        archive_of(RELEASES[0])
    except SourceMissing as missing:
        pytest.skip(str(missing))
    shallow = git(REPOSITORY, "rev-parse", "--is-shallow-repository") == "true"
    for release in RELEASES if not shallow else ():
        git(REPOSITORY, "merge-base", "--is-ancestor", release.commit, "HEAD")
