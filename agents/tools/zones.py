"""Time zones by the names that people use: IANA names, cities, countries with one zone, abbreviations."""

from __future__ import annotations

import difflib
import functools
import importlib.resources
import re
import unicodedata
from zoneinfo import ZoneInfo

from agents.errors import ToolError

# What people say, where the IANA database says otherwise or nothing: cities, countries that keep one time,
# and abbreviations, which mean the clock that people there keep, summer time included.
_ALIASES = """
Africa/Accra: Ghana
Africa/Addis_Ababa: Ethiopia
Africa/Cairo: Alexandria, Egypt
Africa/Casablanca: Marrakesh, Morocco
Africa/Johannesburg: Cape Town, Pretoria, South Africa
Africa/Lagos: Abuja, Nigeria
Africa/Nairobi: Kenya
America/Argentina/Buenos_Aires: Buenos Aires, Argentina
America/Bogota: Colombia
America/Caracas: Venezuela
America/Chicago: Houston, Dallas, Austin, CT, CDT
America/Denver: Salt Lake City, MT, MST, MDT
America/Edmonton: Calgary
America/Guayaquil: Quito
America/Lima: Peru
America/Los_Angeles: San Francisco, Seattle, San Diego, Silicon Valley, Las Vegas, Portland, LA, PT,
    PST, PDT
America/New_York: Boston, Washington, Washington DC, Miami, Atlanta, Philadelphia, NYC, ET, EST, EDT
America/Sao_Paulo: Rio de Janeiro, Rio, Brasilia
America/Toronto: Montreal, Ottawa, Quebec
Asia/Bangkok: Thailand
Asia/Dhaka: Bangladesh
Asia/Dubai: Abu Dhabi, UAE
Asia/Ho_Chi_Minh: Hanoi, Saigon, Vietnam
Asia/Jerusalem: Tel Aviv, Israel
Asia/Karachi: Islamabad, Lahore, Pakistan
Asia/Kathmandu: Nepal
Asia/Kolkata: Mumbai, Delhi, New Delhi, Bangalore, Bengaluru, Chennai, Hyderabad, Pune, India, IST
Asia/Kuala_Lumpur: Malaysia
Asia/Makassar: Bali
Asia/Manila: Philippines
Asia/Qatar: Doha
Asia/Riyadh: Mecca, Saudi Arabia
Asia/Seoul: Busan, South Korea, Korea
Asia/Shanghai: Beijing, Peking, Shenzhen, Guangzhou, China
Asia/Singapore: SGT
Asia/Taipei: Taiwan
Asia/Tehran: Iran
Asia/Tokyo: Osaka, Kyoto, Japan, JST
Australia/Sydney: Canberra, AEST, AEDT
Europe/Amsterdam: Rotterdam, The Hague, Netherlands, The Netherlands
Europe/Athens: Greece, EET
Europe/Berlin: Munich, München, Hamburg, Frankfurt, Cologne, Köln, Stuttgart, Leipzig, Germany
Europe/Brussels: Belgium
Europe/Bucharest: Romania
Europe/Budapest: Hungary
Europe/Copenhagen: Denmark
Europe/Dublin: Ireland
Europe/Helsinki: Finland
Europe/Istanbul: Ankara, Turkey
Europe/Kyiv: Kiev, Ukraine
Europe/Lisbon: Portugal
Europe/London: Manchester, Edinburgh, UK, England, Scotland, Wales, United Kingdom, Great Britain, BST
Europe/Madrid: Barcelona
Europe/Moscow: St Petersburg
Europe/Oslo: Norway
Europe/Paris: Lyon, France, CET, CEST
Europe/Prague: Czechia
Europe/Rome: Milan, Venice, Italy
Europe/Sofia: Bulgaria
Europe/Stockholm: Gothenburg, Sweden
Europe/Vienna: Wien, Austria
Europe/Warsaw: Krakow, Poland
Europe/Zurich: Geneva, Zürich, Basel, Bern, Switzerland
Pacific/Auckland: Wellington, New Zealand
Pacific/Honolulu: Hawaii
UTC: Z
"""
_OFFSET = re.compile(r"(?:utc|gmt)\s*([+-])\s*(\d{1,2})(?::?00)?", re.IGNORECASE)


def find_zone(name: str) -> ZoneInfo:
    """The zone meant by a name. Raises ToolError, whose text lists near matches."""
    key = _key(name)
    if offset := _OFFSET.fullmatch(name.strip()):
        sign, hours = offset.groups()
        # The IANA names count westward.
        key = f"etc/gmt{'-' if sign == '+' else '+'}{int(hours)}" if int(hours) else "utc"
    zone = _names().get(key)
    if zone is None:
        near = _near(name)
        hint = f"near matches: {', '.join(near)}" if near else "give a large city, or an IANA name like Europe/Berlin"
        raise ToolError(f"{name.strip()[:60]!r} is not a known time zone or city; {hint}")
    return ZoneInfo(zone)


def is_zone(name: str) -> bool:
    """Whether `find_zone` knows the name."""
    return _key(name) in _names() or _OFFSET.fullmatch(name.strip()) is not None


def _key(name: str) -> str:
    """Case, accents, underscores, punctuation and spacing do not matter."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c))
    return " ".join(plain.replace(".", "").replace(",", " ").replace("_", " ").casefold().split())


@functools.cache
def _names() -> dict[str, str]:
    """Every accepted name, as its key, and the IANA zone it means. Aliases precede cities, cities links."""
    zones = importlib.resources.files("tzdata").joinpath("zones").read_text(encoding="utf-8").split()
    names: dict[str, str] = {}
    for line in _ALIASES.replace("\n    ", " ").strip().splitlines():
        zone, _, aliases = line.partition(": ")
        names |= {_key(name): zone for name in aliases.split(",")}
    for zone in zones:
        area, _, city = zone.rpartition("/")
        if area and area.partition("/")[0] not in ("Etc", "US", "Canada", "Mexico", "Brazil", "Chile"):
            names.setdefault(_key(city), zone)
    for zone in zones:
        names.setdefault(_key(zone), zone)
    return names


def _near(name: str) -> list[str]:
    names = _names()
    keys = difflib.get_close_matches(_key(name), names, n=5, cutoff=0.7)
    return list(dict.fromkeys(names[key] for key in keys))[:3]
