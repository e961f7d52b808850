"""A zip archive as it is made: of files of any size, without a place to keep them."""

from __future__ import annotations

import datetime
import zipfile
from collections.abc import Iterable, Iterator
from typing import IO, cast

# What one piece of the archive has at least, and how much is read for it at most.
PIECE_BYTES = 64 * 1024
READ_BYTES = 1024 * 1024


class _Outlet:
    """What a ZipFile writes to: it can neither go back nor say where it is."""

    def __init__(self) -> None:
        self._held = bytearray()

    def __len__(self) -> int:
        return len(self._held)

    def write(self, data: bytes) -> int:
        self._held += data
        return len(data)

    def flush(self) -> None:
        """There is nothing below it."""

    def take(self) -> bytes:
        taken = bytes(self._held)
        self._held.clear()
        return taken


def zipped(files: Iterable[tuple[str, Iterable[bytes]]], *, at: datetime.datetime) -> Iterator[bytes]:
    """The archive in pieces, some of them empty: between two, at most READ_BYTES and one part of a file are read."""
    outlet = _Outlet()
    with zipfile.ZipFile(cast("IO[bytes]", outlet), "w") as archive:
        for name, parts in files:
            entry = zipfile.ZipInfo(name, at.timetuple()[:6])
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o600 << 16
            read = 0
            with archive.open(entry, "w", force_zip64=True) as file:
                for part in parts:
                    file.write(part)
                    read += len(part)
                    if len(outlet) >= PIECE_BYTES or read >= READ_BYTES:
                        read = 0
                        yield outlet.take()
    yield outlet.take()
