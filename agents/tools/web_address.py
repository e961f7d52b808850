"""Which addresses an agent may read from the web. No I/O.

An address is taken apart once, here, and strictly: what another reader could understand differently is refused, not
repaired. What is connected to is made of the parts, never of the text that was given.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import SplitResult, quote, urljoin, urlsplit

import idna

from agents.errors import ToolError

DEFAULT_PORTS = {"http": 80, "https": 443}
PORTS = frozenset(DEFAULT_PORTS.values())
LONGEST_ADDRESS = 2048

_NAME = re.compile(r"(?=.{4,253}\Z)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z0-9-]{2,63}")
# inet_aton reads such a last label as a part of an IPv4 address: decimal, octal or hexadecimal, and any number of them.
_NUMBER = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)")
_PATH_CHARACTERS = "/%:@!$&'()*+,;=-._~"

# Beyond what `is_global` leaves out.
_NOT_PUBLIC_IPV4 = (
    IPv4Network("192.0.0.0/24"),  # protocol assignments, some of which count as global
    IPv4Network("192.88.99.0/24"),  # relays of 6to4
    IPv4Network("168.63.129.16/32"),  # Azure's services for its virtual machines
)
# IPv6 of the web is native global unicast. Forms that carry an IPv4 address lie outside of it (mapped, compatible,
# NAT64) or are taken out of it here (Teredo, 6to4).
_PUBLIC_IPV6 = IPv6Network("2000::/3")
_NOT_PUBLIC_IPV6 = (
    IPv6Network("2001::/23"),  # protocol assignments: Teredo, benchmarks, ORCHID
    IPv6Network("2001:db8::/32"),  # documentation
    IPv6Network("2002::/16"),  # 6to4
    IPv6Network("3fff::/20"),  # documentation
)
_ISATAP = (b"\x00\x00\x5e\xfe", b"\x02\x00\x5e\xfe")  # RFC 5214, 6.1: an IPv4 address follows


@dataclass(frozen=True, kw_only=True, slots=True)
class WebAddress:
    """Where a page is. `host` is an ASCII name or an IP address without brackets, `target` path and query."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """The host as the Host header and a person read it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.target}"


def parse(text: str, *, ports: Collection[int] = PORTS) -> WebAddress:
    """The parts of an address. Raises ToolError."""
    text = text.strip(" ")
    _require_plain(text)
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise ToolError("this is not an address of a web page") from error
    if parts.scheme not in DEFAULT_PORTS:
        raise ToolError("only addresses that begin with http:// or https:// can be read")
    if "@" in parts.netloc:
        raise ToolError("an address with a user name or a password in it is not read")
    if port is None:
        port = DEFAULT_PORTS[parts.scheme]
    host = _host(parts)
    if port not in ports:
        raise ToolError(f"port {port} is not read, only {' and '.join(map(str, sorted(ports)))}")
    target = quote(parts.path or "/", safe=_PATH_CHARACTERS)
    if parts.query:
        target += "?" + quote(parts.query, safe=_PATH_CHARACTERS + "?")
    return WebAddress(scheme=parts.scheme, host=host, port=port, target=target)


def redirected(address: WebAddress, location: str, *, ports: Collection[int] = PORTS) -> WebAddress:
    """Where a redirect leads. Raises ToolError."""
    _require_plain(location)
    try:
        joined = urljoin(str(address), location)
    except ValueError as error:
        raise ToolError("the page redirects to something that is not an address") from error
    target = parse(joined, ports=ports)
    if (address.scheme, target.scheme) == ("https", "http"):
        raise ToolError("the page redirects from https to http, which anyone on the way could change")
    return target


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether it belongs to a host of the public internet, as far as an address can say."""
    if isinstance(address, IPv4Address):
        reserved = address.is_multicast or address.is_reserved or any(address in each for each in _NOT_PUBLIC_IPV4)
        return address.is_global and not reserved
    return (
        address in _PUBLIC_IPV6
        and address.scope_id is None
        and not any(address in network for network in _NOT_PUBLIC_IPV6)
        and address.packed[8:12] not in _ISATAP
    )


def _require_plain(text: str) -> None:
    if len(text) > LONGEST_ADDRESS:
        raise ToolError(f"the address is longer than {LONGEST_ADDRESS} characters")
    # urlsplit would drop some of these and keep others; browsers take a backslash for a slash.
    if "\\" in text or any(character.isspace() or not character.isprintable() for character in text):
        raise ToolError("the address holds a space, a backslash or a character that cannot be seen")


def _host(parts: SplitResult) -> str:
    host = parts.hostname
    if not host:
        raise ToolError("the address names no host")
    try:
        if "[" in parts.netloc:
            return _ipv6(host)
        name = host if host.isascii() else idna.encode(host, uts46=True).decode().lower()
        name = name.removesuffix(".")
        if _NUMBER.fullmatch(name.rpartition(".")[2]):
            return str(IPv4Address(name))
    except ValueError as error:
        raise ToolError("the host of the address is not written as hosts are") from error
    if not _NAME.fullmatch(name):
        raise ToolError("the host of the address is not the whole name of a host such as example.org")
    return name


def _ipv6(host: str) -> str:
    address = ip_address(host)
    if not isinstance(address, IPv6Address) or address.scope_id is not None:
        raise ValueError(host)
    return str(address)
