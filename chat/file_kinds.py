"""What a file is, by its content; and what of its name can be shown. No I/O but reading the open file.

Nothing that a client says about a file counts: not its name, not its type.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from typing import IO

from PIL import Image

TEXT = "text/plain"
IMAGES = {"PNG": "image/png", "JPEG": "image/jpeg", "GIF": "image/gif", "WEBP": "image/webp"}
IMAGE_TYPES = frozenset(IMAGES.values())
SUPPORTED = (*IMAGES.values(), TEXT)
# A picture of a telephone has up to 50 million; decoded, each takes four bytes of whoever opens it. A GIF is decoded
# here, too: its form alone tells it from a text that begins like one too seldom.
MAX_PIXELS = 50_000_000
MAX_PIXELS_OF_GIF = 16_000_000
LONGEST_NAME = 200
LONGEST_SUFFIX = 20
READ_BYTES = 65_536

_ENCODINGS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
# Tab, the ends of lines and of pages are text.
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f-\x84\x86-\x9f]")
# Joiners shape letters and emoji; whatever else has no form of its own can deceive.
_JOINERS = "\u200c\u200d"
_UNBROKEN = re.compile(r"\S+")


def media_type_of(file: IO[bytes]) -> str | None:
    """One of SUPPORTED, or None for what is none of them. Leaves the file at its beginning."""
    try:
        return _image_type(file) or (TEXT if _is_text(file) else None)
    finally:
        file.seek(0)


def _image_type(file: IO[bytes]) -> str | None:
    """The type of an image that is not too large: a PNG by its checksums, a GIF by its first picture."""
    try:
        file.seek(0)
        with Image.open(file, formats=list(IMAGES)) as image:
            kind, pixels = str(image.format), image.width * image.height
            if pixels > (MAX_PIXELS_OF_GIF if kind == "GIF" else MAX_PIXELS):
                return None
            media_type = IMAGES[kind]
            if kind == "PNG":
                image.verify()
            elif kind == "GIF":
                image.load()
    except (Image.DecompressionBombError, Image.DecompressionBombWarning, OSError, SyntaxError, ValueError):
        return None
    return media_type


def encoding_of(beginning: bytes) -> str:
    """Of a text that begins so: what its byte order mark says, else UTF-8."""
    return next((name for mark, name in _ENCODINGS.items() if beginning.startswith(mark)), "utf-8")


def _is_text(file: IO[bytes]) -> bool:
    """Whether all of it is UTF-8, or UTF-16 with its mark, and says nothing to a terminal."""
    file.seek(0)
    chunk = file.read(READ_BYTES)
    decoder = codecs.getincrementaldecoder(encoding_of(chunk))()
    try:
        while chunk:
            if _CONTROLS.search(decoder.decode(chunk)):
                return False
            chunk = file.read(READ_BYTES)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def shown_name(given: str) -> str:
    """A person's name for a file, as one line without path, control and bidi characters. Never empty."""
    last = re.split(r"[/\\]", given)[-1]
    composed = unicodedata.normalize("NFC", last.encode("utf-8", "ignore").decode())
    kept = "".join(" " if _separates(character) else character for character in composed if _is_shown(character))
    name = " ".join(_UNBROKEN.findall(kept)).strip(" .")
    if not any(character.isprintable() and character not in _JOINERS for character in name):
        return "file"
    if len(name) <= LONGEST_NAME:
        return name
    stem, dot, suffix = name.rpartition(".")
    ending = f"…{dot}{suffix}" if stem and len(suffix) <= LONGEST_SUFFIX else "…"
    return name[: LONGEST_NAME - len(ending)].rstrip() + ending


def _separates(character: str) -> bool:
    return unicodedata.category(character) in ("Zs", "Zl", "Zp") or character in "\t\n\r"


def _is_shown(character: str) -> bool:
    if character in _JOINERS or _separates(character):
        return True
    return unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co", "Cn")
