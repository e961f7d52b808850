"""Which addresses are one client's. No I/O."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

UNKNOWN = "unknown"


def network_of(address: str) -> str:
    """Of IPv6 a whole network is one person's. Some proxies tell the port, too. UNKNOWN for what is no address."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        try:
            parsed = ipaddress.ip_address(urlsplit(f"//{address}").hostname or "")
        except ValueError:
            return UNKNOWN
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False).network_address)
    return str(parsed)
