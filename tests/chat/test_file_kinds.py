"""What a file is, by its content alone; and what is shown of its name."""

from __future__ import annotations

import codecs
import io
import unicodedata
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.file_kinds import LONGEST_NAME, MAX_PIXELS, READ_BYTES, encoding_of, media_type_of, shown_name
from tests.chat.files import huge_png, image


def kind(content: bytes) -> str | None:
    file = io.BytesIO(content)
    file.seek(0, io.SEEK_END)
    found = media_type_of(file)
    assert file.tell() == 0
    return found


def zipped(content: bytes) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", content)
    return written.getvalue()


@pytest.mark.parametrize("name", ["PNG", "JPEG", "GIF", "WEBP"])
def test_an_image_is_known_by_its_content(name: str) -> None:
    assert kind(image(name)) == f"image/{name.lower()}"


@pytest.mark.parametrize("name", ["BMP", "TIFF", "ICO", "PPM"])
def test_an_image_of_another_kind_is_none(name: str) -> None:
    assert kind(image(name, (16, 16))) is None


@pytest.mark.parametrize(
    "content",
    [
        b"plain",
        "größe — 漢字 \N{GRINNING FACE}\n".encode(),
        codecs.BOM_UTF8 + b"a,b\r\n1,2\r\n",
        "größe".encode("utf-16"),
        codecs.BOM_UTF16_BE + "größe".encode("utf-16-be"),
        b'{"a": [1, 2]}',
        b"def f():\n\treturn 1\x0c\n",
        b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
        b"<!doctype html><script>alert(1)</script>",
        b"x" * (READ_BYTES - 1) + "é".encode(),
    ],
)
def test_text_is_text_whatever_is_written_in_it(content: bytes) -> None:
    assert kind(content) == "text/plain"


@pytest.mark.parametrize(
    "content",
    [
        b"null\x00byte",
        b"escape \x1b[2J",
        b"bell \x07",
        "c1 \x9b2J".encode(),
        b"latin-1 \xe9",
        "no mark".encode("utf-16-le"),
        codecs.BOM_UTF16_LE + b"\x00\xd8",
        codecs.BOM_UTF16_LE + b"a",
        b"x" * (READ_BYTES - 1) + "é".encode()[:1],
        zipped(b"\0" * 5_000_000),
        b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
        b"\x7fELF\x02\x01\x01\x00",
    ],
)
def test_what_is_no_text_is_none(content: bytes) -> None:
    assert kind(content) is None


def test_a_page_that_begins_like_a_gif_is_text() -> None:
    assert kind(b"GIF89a/*,<svg onload=alert(1)>*/=1;<script>alert(1)</script>" + b" ," * 400) == "text/plain"
    assert kind(b"GIF87a<!doctype html><script>alert(1)</script>") == "text/plain"


def test_an_image_with_a_script_after_its_end_is_an_image() -> None:
    for name in ("PNG", "JPEG", "GIF"):
        assert kind(image(name) + b"<script>alert(1)</script>") == f"image/{name.lower()}"


@pytest.mark.parametrize("begins", [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"RIFF\x24\0\0\0WEBPVP8 "])
def test_what_only_begins_like_an_image_is_none(begins: bytes) -> None:
    assert kind(begins + b"<script>alert(1)</script>") is None


def test_a_png_with_a_wrong_checksum_is_none() -> None:
    sound = image()
    assert kind(sound.replace(sound[-8:-4], b"JUNK")) is None
    assert kind(sound[:-20] + bytes([sound[-20] ^ 1]) + sound[-19:]) is None


def test_an_image_is_as_large_as_may_be_and_no_larger() -> None:
    assert kind(huge_png(MAX_PIXELS // 1000, 1000)) == "image/png"
    assert kind(huge_png(MAX_PIXELS // 1000 + 1, 1000)) is None
    # Around the bounds from which on the library itself warns, and refuses.
    assert kind(huge_png(100_000, 1000)) is None
    assert kind(huge_png(2**31 - 1, 2**31 - 1)) is None


def test_a_gif_that_claims_to_be_enormous_is_not_decoded() -> None:
    small = image("GIF")
    assert kind(small[:6] + b"\xff\xff\xff\xff" + small[10:]) is None


@given(st.binary(max_size=300))
def test_bytes_that_are_text_are_read_back_as_what_they_are(content: bytes) -> None:
    if kind(content) == "text/plain":
        content.decode(encoding_of(content))


# Names


@pytest.mark.parametrize(
    ("given_name", "shown"),
    [
        ("notes.txt", "notes.txt"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\ann\\plan.md", "plan.md"),
        ("/", "file"),
        ("..", "file"),
        ("", "file"),
        ("   ", "file"),
        (".bashrc", "bashrc"),
        ("a\nb\tc.txt", "a b c.txt"),
        ("a\x00b\x1b[2Jc.txt", "ab[2Jc.txt"),
        ("invoice\u202efdp.exe", "invoicefdp.exe"),
        ("\u2066x\u2069\u200b.txt", "x.txt"),
        ("a\u2028b.txt", "a b.txt"),
        ("Cafe\u0301.txt", "Café.txt"),
        ("\ud800.txt", "txt"),
        ("\u200d\u200d", "file"),
        ("family \U0001f468\u200d\U0001f469.png", "family \U0001f468\u200d\U0001f469.png"),
        ("<script>alert(1)<", "<script>alert(1)<"),
        ("x" * 300 + ".json", "x" * 194 + "….json"),
    ],
)
def test_a_name_is_one_line_of_visible_text_without_a_path(given_name: str, shown: str) -> None:
    assert shown_name(given_name) == shown


@given(st.text(st.characters(), max_size=400))
def test_no_name_is_empty_long_or_deceiving(given_name: str) -> None:
    shown = shown_name(given_name)
    assert 0 < len(shown) <= LONGEST_NAME
    assert not {"/", "\\", "\n", "\x00"} & set(shown)
    assert shown == shown.strip()
    shown.encode()
    assert all(unicodedata.category(c) not in ("Cc", "Cs") for c in shown)
    assert all(
        unicodedata.bidirectional(c) not in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI") for c in shown
    )
