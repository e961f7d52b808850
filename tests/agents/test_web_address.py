from __future__ import annotations

from ipaddress import ip_address

import pytest

from agents.errors import ToolError
from agents.tools.web_address import LONGEST_ADDRESS, is_public, parse, redirected

NOT_PUBLIC = [
    "0.0.0.0",  # noqa: S104 - no socket is bound
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.10",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::8.8.8.8",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "::ffff:0:127.0.0.1",
    "64:ff9b::127.0.0.1",
    "64:ff9b::169.254.169.254",
    "64:ff9b:1::10.0.0.1",
    "100::1",
    "2001::1",
    "2001:0:4136:e378:8000:63bf:80ff:fffe",
    "2001:2::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:808:808::1",
    "2606:4700::5efe:10.0.0.1",
    "2606:4700::200:5efe:10.0.0.1",
    "2606:4700::1111%eth0",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
]


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_an_address_that_is_not_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", ["1.1.1.1", "8.8.8.8", "151.101.0.223", "2606:4700:4700::1111", "2a04:4e42::223"])
def test_a_public_address(address: str) -> None:
    assert is_public(ip_address(address))


ACCEPTED = [
    ("https://example.org", "https://example.org/"),
    ("HTTPS://Example.ORG:443/A?b=c#d", "https://example.org/A?b=c"),
    ("http://example.org.:80/", "http://example.org/"),
    ("http://example.org:443/", "http://example.org:443/"),
    ("  https://example.org/  ", "https://example.org/"),
    ("https://bücher.example/ä?ö=ü", "https://xn--bcher-kva.example/%C3%A4?%C3%B6=%C3%BC"),
    ("https://\uff45xample。org/", "https://example.org/"),
    ("https://example.org/a%20b?q=1&r=%2F", "https://example.org/a%20b?q=1&r=%2F"),
    ("https://8.8.8.8/", "https://8.8.8.8/"),
    ("https://[2606:4700:4700:0::1111]/", "https://[2606:4700:4700::1111]/"),
    ("https://1.example.org/", "https://1.example.org/"),
]


@pytest.mark.parametrize(("text", "expected"), ACCEPTED)
def test_an_address_is_read(text: str, expected: str) -> None:
    assert str(parse(text)) == expected


REFUSED = [
    ("file:///etc/passwd", "http://"),
    ("gopher://example.org/", "http://"),
    ("data:text/html,hello", "http://"),
    ("ftp://example.org/", "http://"),
    ("example.org", "http://"),
    ("//example.org/", "http://"),
    ("", "http://"),
    ("https:example.org", "names no host"),
    ("https:///example.org", "names no host"),
    ("https://user@example.org/", "user name"),
    ("https://user:word@example.org/", "user name"),
    ("https://@example.org/", "user name"),
    ("https://example.org:22/", "port 22"),
    ("https://example.org:0/", "port 0"),
    ("https://example.org:8080/", "port 8080"),
    ("https://example.org:port/", "not an address"),
    ("https://example.org:99999/", "not an address"),
    ("https://example.org\\@127.0.0.1/", "backslash"),
    ("https://exa mple.org/", "a space"),
    ("https://example.org/\r\nHost: other", "a space"),
    ("https://exam\u200bple.org/", "cannot be seen"),
    ("https://example.org/\x00", "cannot be seen"),
    ("https://example/", "whole name"),
    ("https://localhost/", "whole name"),
    ("https://example..org/", "whole name"),
    ("https://%65xample.org/", "whole name"),
    ("https://-example.org/", "whole name"),
    ("https://2130706433/", "not written"),
    ("https://0x7f.0.0.1/", "not written"),
    ("https://0177.0.0.1/", "not written"),
    ("https://127.1/", "not written"),
    ("https://1.2.3.4.5/", "not written"),
    ("https://example.0x/", "not written"),
    ("https://[fe80::1%25eth0]/", "not written"),
    ("https://[127.0.0.1]/", "not"),
    ("https://[v1.x]/", "not"),
    ("https://[::1/", "not an address"),
    ("https://" + "a" * LONGEST_ADDRESS, "longer than"),
]


@pytest.mark.parametrize(("text", "reason"), REFUSED)
def test_an_address_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ToolError, match=reason):
        parse(text)


def test_a_redirect_is_relative_to_where_it_comes_from() -> None:
    page = parse("https://example.org/a/b?c=d")
    assert str(redirected(page, "../e")) == "https://example.org/e"
    assert str(redirected(page, "?f=g")) == "https://example.org/a/b?f=g"
    assert str(redirected(page, "//example.com/h")) == "https://example.com/h"


def test_a_redirect_leads_to_https_and_not_back() -> None:
    assert redirected(parse("http://example.org/"), "https://example.org/").scheme == "https"
    with pytest.raises(ToolError, match="from https to http"):
        redirected(parse("https://example.org/"), "http://example.org/")
