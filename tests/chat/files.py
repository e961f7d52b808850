"""Files of the tests: images, and what only looks like one."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

from PIL import Image


def image(kind: str = "PNG", size: tuple[int, int] = (3, 2)) -> bytes:
    written = io.BytesIO()
    Image.new("RGB", size, "red").save(written, kind)
    return written.getvalue()


def huge_png(width: int, height: int) -> bytes:
    """A few bytes that say they were a picture of this size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(b"\0")) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def form(content: bytes, name: str = "notes.txt", media_type: str = "text/plain", field: str = "file") -> bytes:
    """A body of `multipart/form-data` with one file, whose name is written as browsers do."""
    quoted = name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A").encode("utf-8", "surrogatepass")
    head = b'--x\r\nContent-Disposition: form-data; name="' + field.encode() + b'"; filename="' + quoted + b'"\r\n'
    return head + b"Content-Type: " + media_type.encode() + b"\r\n\r\n" + content + b"\r\n--x--\r\n"


FORM = "multipart/form-data; boundary=x"


def upload(api: Any, content: bytes, name: str = "notes.txt", media_type: str = "text/plain") -> Any:
    """The answer to an upload."""
    return api.post("/api/attachments", form(content, name, media_type), content_type=FORM)
