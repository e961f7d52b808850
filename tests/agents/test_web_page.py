"""Page fetching against real servers: what must not be reached counts its connections, and the count stays 0."""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agents.errors import ToolError
from agents.tools import web_address
from agents.tools.web_page import PageLimits, resolve, web_page_tool
from tests.agents.web_sites import (
    PATIENCE,
    PUBLIC_HOST,
    PUBLIC_NAME,
    Answer,
    Sites,
    endless,
    has_ipv6,
    redirect,
    refusal,
    reply,
)
from tests.certificates import write_certificate

SMALL = PageLimits(bytes=100_000)
IMPATIENT = PageLimits(seconds=0.4)


@pytest.fixture
async def sites() -> AsyncIterator[Sites]:
    async with Sites.open() as opened:
        yield opened


# What leads to 127.0.0.1 or ::1 by one reading or another. PORT is the port of the forbidden server.
TRICKS = [
    "http://127.0.0.1:PORT/",
    "http://127.0.0.1.:PORT/",
    "http://127.1:PORT/",
    "http://127.0.1:PORT/",
    "http://2130706433:PORT/",
    "http://0x7f000001:PORT/",
    "http://0x7f.0.0.0x1:PORT/",
    "http://0177.0.0.1:PORT/",
    "http://017700000001:PORT/",
    "http://127.000.000.001:PORT/",
    "http://0:PORT/",
    "http://0.0.0.0:PORT/",
    "http://localhost:PORT/",
    "http://LOCALHOST.:PORT/",
    "http://localhost.localdomain:PORT/",
    "http://[::1]:PORT/",
    "http://[0:0:0:0:0:0:0:1]:PORT/",
    "http://[::]:PORT/",
    "http://[::ffff:127.0.0.1]:PORT/",
    "http://[::ffff:7f00:1]:PORT/",
    "http://[::127.0.0.1]:PORT/",
    "http://[64:ff9b::7f00:1]:PORT/",
    "http://[64:ff9b:1::7f00:1]:PORT/",
    "http://[2002:7f00:1::]:PORT/",
    "http://[2001:0:7f00:1::80ff:fffe]:PORT/",
    "http://[::1%25lo]:PORT/",
    "http://[fe80::1%25lo]:PORT/",
    "http://[127.0.0.1]:PORT/",
    "http://private.example:PORT/",
    "http://private.example.:PORT/",
    "http://private6.example:PORT/",
    "http://mapped.example:PORT/",
    "http://zoned.example:PORT/",
    "http://mixed.example:PORT/",
    "http://mixed6.example:PORT/",
    "http://\uff11\uff12\uff17.\uff10.\uff10.\uff11:PORT/",
    "http://127。0。0。1:PORT/",
    "http://①②⑦.⓪.⓪.①:PORT/",
    "http://ⓛocalhost:PORT/",
    "http://%31%32%37.0.0.1:PORT/",
    "http://public.example@127.0.0.1:PORT/",
    "http://public.example:80@127.0.0.1:PORT/",
    "http://127.0.0.1:PORT@public.example/",
    "http://me:word@public.example:PORT/",
    "http://public.example\\@127.0.0.1:PORT/",
    "http://127.0.0.1:PORT\\@public.example:PORT/",
    "http:\\\\127.0.0.1:PORT/",
    "http://127.0.0.1:PORT\t/",
    "http://127.0.0.1\n:PORT/",
    "http://public.example:PORT/ HTTP/1.1\r\nHost: 127.0.0.1\r\n",
    "http://127.0.0.1\x00.public.example:PORT/",
    "http:127.0.0.1:PORT/",
    "http:///127.0.0.1:PORT/",
    "//127.0.0.1:PORT/",
    "127.0.0.1:PORT/",
    "http://127.0.0.1:PORT:80/",
    "http://169.254.169.254:PORT/latest/meta-data/",
    "file:///etc/passwd",
    "file://127.0.0.1:PORT/etc/passwd",
    "gopher://127.0.0.1:PORT/_GET",
    "ftp://127.0.0.1:PORT/",
    "dict://127.0.0.1:PORT/",
    "data:text/html,hello",
    "javascript:alert(1)",
    "unix:/run/docker.sock",
]


@pytest.mark.parametrize("trick", TRICKS)
async def test_no_way_of_writing_an_address_reaches_what_is_not_public(sites: Sites, trick: str) -> None:
    await refusal(sites, trick.replace("PORT", str(sites.port)))
    assert sites.public.connections == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "private.example", *(["[::1]", "private6.example"] * has_ipv6())])
async def test_the_forbidden_server_counts_who_is_allowed_there(sites: Sites, host: str) -> None:
    await sites.fetcher(is_public=lambda _address: True).fetch(sites.url(host=host))
    assert sites.forbidden.connections == 1


async def test_a_port_that_is_not_the_webs(sites: Sites) -> None:
    with pytest.raises(ToolError, match=f"port {sites.port} is not read, only 80 and 443"):
        await sites.fetcher(ports=web_address.PORTS).fetch(sites.url())
    assert sites.public.connections == 0


async def test_the_address_that_was_checked_is_the_one_connected_to(sites: Sites) -> None:
    answers = iter([[PUBLIC_HOST], ["127.0.0.1"], ["127.0.0.1"]])
    lookups = []

    async def changing(host: str) -> list[str]:
        lookups.append(host)
        return next(answers)

    page = await sites.fetcher(resolve=changing).fetch(sites.url())
    assert (page["title"], lookups) == ("Home", [PUBLIC_NAME])
    assert (sites.public.connections, sites.forbidden.connections) == (1, 0)
    # The next page is looked up anew, and what the name says now is what counts.
    with pytest.raises(ToolError, match=r"public\.example is not a host of the public internet"):
        await sites.fetcher(resolve=changing).fetch(sites.url())
    assert (sites.public.connections, sites.forbidden.connections) == (1, 0)


async def test_a_name_that_changes_its_address_during_redirects(sites: Sites) -> None:
    answers = iter([[PUBLIC_HOST], ["127.0.0.1"]])

    async def changing(_host: str) -> list[str]:
        return next(answers)

    sites.public.answers["/"] = redirect("/again")
    with pytest.raises(ToolError, match="not a host of the public internet"):
        await sites.fetcher(resolve=changing).fetch(sites.url())
    assert (sites.public.connections, sites.forbidden.connections) == (1, 0)


async def test_a_name_of_several_public_addresses_of_which_one_does_not_answer(sites: Sites) -> None:
    sites.names["several.example"] = ["127.0.0.3", PUBLIC_HOST]
    fetcher = sites.fetcher(is_public=lambda address: str(address) in ("127.0.0.3", PUBLIC_HOST))
    assert (await fetcher.fetch(sites.url(host="several.example")))["title"] == "Home"


async def test_a_name_that_does_not_exist(sites: Sites) -> None:
    assert "no host named nowhere.invalid was found" in await refusal(sites, sites.url(host="nowhere.invalid"))


async def test_the_systems_own_names_are_found() -> None:
    assert "127.0.0.1" in await resolve("localhost")


LOCATIONS = [
    "http://127.0.0.1:PORT/",
    "http://private.example:PORT/",
    "http://mixed.example:PORT/",
    "http://[::1]:PORT/",
    "http://[::ffff:127.0.0.1]:PORT/",
    "http://2130706433:PORT/",
    "//127.0.0.1:PORT/",
    "//localhost:PORT/",
    "http://public.example:22/",
    "http://public.example@127.0.0.1:PORT/",
    "http://me:word@public.example:PORT/next",
    "http:\\\\127.0.0.1:PORT/",
    "/\\127.0.0.1:PORT/",
    "http://127.0.0.1:PORT/ a",
    "file:///etc/passwd",
    "gopher://127.0.0.1:PORT/",
    "data:text/html,hello",
    "http://[",
]


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See", "307 Temporary", "308 Permanent"])
async def test_no_kind_of_redirect_reaches_what_is_not_public(sites: Sites, status: str) -> None:
    sites.public.answers["/"] = redirect(sites.url(host="127.0.0.1"), status)
    assert "127.0.0.1 is not a host of the public internet" in await refusal(sites, sites.url())
    assert sites.public.connections == 1


@pytest.mark.parametrize("location", LOCATIONS)
async def test_a_redirect_is_read_as_strictly_as_an_address(sites: Sites, location: str) -> None:
    sites.public.answers["/"] = redirect(location.replace("PORT", str(sites.port)))
    await refusal(sites, sites.url())
    assert sites.public.connections == 1


async def test_redirects_without_end(sites: Sites) -> None:
    sites.public.answers["/"] = redirect("/")
    assert await refusal(sites, sites.url()) == "the page redirects more than 5 times"
    assert sites.public.connections == 6


async def test_a_redirect_is_followed_and_the_last_address_told(sites: Sites) -> None:
    sites.public.answers |= {"/": redirect("a/../next?x=1#part"), "/next?x=1": reply("<p>Arrived", "Set-Cookie: a=b")}
    page = await sites.fetcher().fetch(sites.url())
    assert (page["url"], page["untrusted_text"]) == (sites.url("/next?x=1"), "Arrived")


async def test_nothing_of_ours_is_sent_along(sites: Sites, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    proxy = sites.url(host="127.0.0.1")
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, proxy)
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine {PUBLIC_NAME} login me password word\n")
    monkeypatch.setenv("NETRC", str(netrc))
    sites.public.answers["/"] = reply("", "Location: /next", "Set-Cookie: session=1; Path=/", status="302 Found")
    await sites.fetcher().fetch(sites.url())
    assert sites.forbidden.connections == 0
    for request in sites.public.requests:
        names = {line.partition(":")[0].lower() for line in request.splitlines()[1:] if line}
        assert names == {"host", "accept", "accept-encoding", "user-agent", "connection"}
        assert f"Host: {PUBLIC_NAME}:{sites.port}\r\n" in request


@pytest.mark.parametrize(("host", "error"), [(PUBLIC_NAME, None), ("other.example", "certificate")])
async def test_the_certificate_is_of_the_name_and_not_of_the_address(
    tmp_path: Path, host: str, error: str | None
) -> None:
    certificate = tmp_path / "certificate.pem"
    write_certificate(certificate, PUBLIC_NAME)
    served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    served.load_cert_chain(certificate)
    async with Sites.open(served) as sites:
        sites.names["other.example"] = [PUBLIC_HOST]
        fetcher = sites.fetcher(ssl_context=ssl.create_default_context(cafile=str(certificate)))
        url = sites.url(host=host, scheme="https")
        if error is None:
            assert (await fetcher.fetch(url))["title"] == "Home"
            sites.public.answers["/"] = redirect(sites.url())
            error = "from https to http"
        with pytest.raises(ToolError, match=error):
            await fetcher.fetch(url)


async def test_a_server_that_does_not_encrypt(sites: Sites) -> None:
    assert await refusal(sites, sites.url(scheme="https")) == "no encrypted connection was agreed upon"


# Servers that mean harm ------------------------------------------------------------------------------------


async def test_a_body_that_says_it_is_huge(sites: Sites) -> None:
    sites.public.answers["/"] = reply("x", "Content-Length: 100000001")
    assert await refusal(sites, sites.url()) == "the page is larger than 2,000,000 bytes"


ENDLESS: dict[str, tuple[bytes, bytes, str]] = {
    "body": (b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n", b"more and more " * 100, "larger than"),
    "chunks": (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"4\r\nmore\r\n" * 100,
        "larger than",
    ),
    "packed nothing": (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Encoding: gzip\r\n\r\n",
        gzip.compress(b"") * 100,
        "larger than",
    ),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"X-More: and more\r\n" * 100, "does not speak HTTP"),
    "header": (b"HTTP/1.1 200 OK\r\nX-More: ", b"and more " * 100, "does not speak HTTP"),
    "status line": (b"HTTP/1.1 200 ", b"O" * 1000, "does not speak HTTP"),
    "greeting": (b"SSH-2.0-OpenSSH\r\n", b"\r\n" * 1000, "does not speak HTTP"),
}


@pytest.mark.parametrize("part", ENDLESS)
async def test_an_answer_without_end(sites: Sites, part: str) -> None:
    begin, piece, reason = ENDLESS[part]

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(begin)
        await endless(writer, piece)

    sites.public.answers["/"] = answer
    assert reason in await refusal(sites, sites.url(), SMALL)
    async with asyncio.timeout(PATIENCE):
        await sites.public.abandoned.wait()


async def test_interim_answers_without_end(sites: Sites) -> None:
    async def answer(writer: asyncio.StreamWriter) -> None:
        await endless(writer, b"HTTP/1.1 103 Early Hints\r\n\r\n")

    sites.public.answers["/"] = answer
    assert await refusal(sites, sites.url(), IMPATIENT) == "the page did not come within 0.4 seconds"


TRICKLES = [b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n"]


@pytest.mark.parametrize("begin", TRICKLES, ids=["headers", "body"])
async def test_an_answer_that_trickles(sites: Sites, begin: bytes) -> None:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(begin)
        while True:
            await writer.drain()
            await asyncio.sleep(0.02)
            writer.write(b"x")
            if writer.transport.is_closing():
                raise ConnectionResetError

    sites.public.answers["/"] = answer
    assert await refusal(sites, sites.url(), IMPATIENT) == "the page did not come within 0.4 seconds"
    async with asyncio.timeout(PATIENCE):
        await sites.public.abandoned.wait()


async def test_a_server_that_says_nothing(sites: Sites) -> None:
    async def answer(_writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    sites.public.answers["/"] = answer
    assert await refusal(sites, sites.url(), IMPATIENT) == "the page did not come within 0.4 seconds"


def bomb(size: int) -> bytes:
    return reply(gzip.compress(b" " * size), "Content-Encoding: gzip")


PACKED: dict[str, tuple[bytes, str]] = {
    "bomb": (bomb(50_000_000), "larger than 100,000 bytes"),
    "bomb of many members": (
        reply(gzip.compress(b" " * 1000) * 200, "Content-Encoding: gzip"),
        "larger than 100,000 bytes",
    ),
    "truncated": (reply(gzip.compress(b"word " * 100)[:-9], "Content-Encoding: gzip"), "its end is missing"),
    "garbage": (reply(b"not packed at all", "Content-Encoding: gzip"), "cannot be unpacked"),
    "twice": (reply(gzip.compress(gzip.compress(b"x")), "Content-Encoding: gzip, gzip"), "not asked for"),
    "brotli": (reply(b"x", "Content-Encoding: br"), "not asked for"),
    "zstd": (reply(b"x", "Content-Encoding: zstd"), "not asked for"),
}


@pytest.mark.parametrize("how", PACKED)
async def test_a_page_packed_to_do_harm(sites: Sites, how: str) -> None:
    sites.public.answers["/"], reason = PACKED[how]
    assert reason in await refusal(sites, sites.url(), SMALL)


@pytest.mark.parametrize("members", [1, 3])
async def test_a_packed_page(sites: Sites, members: int) -> None:
    packed = gzip.compress(b"word " * 20_000) * members
    sites.public.answers["/"] = reply(packed, "Content-Encoding: gzip", content_type="text/plain")
    limits = PageLimits(characters=1_000_000)
    page = await sites.fetcher(limits).fetch(sites.url())
    assert page["untrusted_text"] == ("word " * 20_000 * members).strip()


async def reset(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\nhalf")
    await writer.drain()
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


ANSWERS: dict[str, tuple[Answer, str]] = {
    "reset": (reset, "broke the connection"),
    "a length that is too long": (reply("half", "Content-Length: 100"), "broke the connection"),
    "a length that is none": (reply("half", "Content-Length: -1"), "broke the connection"),
    "two lengths": (reply("half", "Content-Length: 4", "Content-Length: 3"), "broke the connection"),
    "nothing": (b"", "broke the connection"),
    "an image": (reply(b"\x89PNG", content_type="image/png; a=b"), "not text but image/png"),
    "bytes": (reply(b"\x00", content_type="application/octet-stream"), "not text but application/octet-stream"),
    "no type": (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", "not text but of no type"),
    "two types": (reply("x", "Content-Type: image/png"), "not text but"),
    "not found": (reply("", status="404 Gone fishing"), "HTTP 404 Not Found"),
    "an own number": (reply("", status="599 Ha"), "HTTP 599"),
    "a redirect to nowhere": (reply("", status="302 Found"), "HTTP 302 Found"),
}  # fmt: skip


@pytest.mark.parametrize("what", ANSWERS)
async def test_an_answer_that_cannot_be_read(sites: Sites, what: str) -> None:
    sites.public.answers["/"], reason = ANSWERS[what]
    assert reason in await refusal(sites, sites.url())


async def test_a_server_that_is_not_there(sites: Sites) -> None:
    sites.names["gone.example"] = ["127.0.0.3"]
    fetcher = sites.fetcher(is_public=lambda address: str(address) == "127.0.0.3")
    with pytest.raises(ToolError, match="no connection was made"):
        await fetcher.fetch(sites.url(host="gone.example"))


def test_the_tool_asks_first_and_takes_an_address_only() -> None:
    tool = web_page_tool()
    assert (tool.name, tool.requires_approval) == ("fetch_page", True)
    assert set(tool.tool_def.parameters_json_schema["properties"]) == {"url"}
