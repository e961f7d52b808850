"""A zip archive that is made while it is sent."""

from __future__ import annotations

import datetime
import io
import os
import zipfile
from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st

from chat.archive import PIECE_BYTES, READ_BYTES, zipped

AT = datetime.datetime(2026, 11, 23, 19, 0, tzinfo=datetime.UTC)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.binary(max_size=2000), max_size=20), max_size=5))
def test_what_goes_in_comes_out(contents: list[list[bytes]]) -> None:
    files = [(f"{number}.bin", parts) for number, parts in enumerate(contents)]
    with zipfile.ZipFile(io.BytesIO(b"".join(zipped(files, at=AT)))) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == {
            name: b"".join(parts) for name, parts in files
        }


def test_a_piece_leaves_before_more_is_read() -> None:
    read = 0

    def parts() -> Iterator[bytes]:
        nonlocal read
        for _ in range(400):
            read += 10_000
            yield os.urandom(10_000)

    sent = 0
    for piece in zipped([("noise", parts())], at=AT):
        sent += len(piece)
        assert len(piece) < PIECE_BYTES * 2
        assert read - sent < PIECE_BYTES * 2
    assert sent > read


def test_between_two_pieces_only_so_much_is_read_however_small_it_becomes() -> None:
    read = since = 0

    def parts() -> Iterator[bytes]:
        nonlocal read
        for _ in range(1000):
            read += 10_000
            yield bytes(10_000)

    for _ in zipped([("nothing", parts())], at=AT):
        assert read - since <= READ_BYTES + 10_000
        since = read
    assert read == 10_000_000


def test_what_breaks_off_is_no_archive() -> None:
    pieces = list(zipped([("noise", [os.urandom(PIECE_BYTES)] * 3)], at=AT))
    assert not zipfile.is_zipfile(io.BytesIO(b"".join(pieces[:-1])))
