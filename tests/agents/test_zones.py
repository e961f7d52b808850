from __future__ import annotations

from zoneinfo import available_timezones

import pytest

from agents.errors import ToolError
from agents.tools import zones
from agents.tools.zones import find_zone, is_zone

KNOWN = [
    ("Asia/Tokyo", "Asia/Tokyo"),
    ("asia/tokyo", "Asia/Tokyo"),
    ("Tokyo", "Asia/Tokyo"),
    (" tokyo ", "Asia/Tokyo"),
    ("Japan", "Asia/Tokyo"),
    ("New York", "America/New_York"),
    ("new_york", "America/New_York"),
    ("NYC", "America/New_York"),
    ("Washington, D.C.", "America/New_York"),
    ("São Paulo", "America/Sao_Paulo"),
    ("sao paulo", "America/Sao_Paulo"),
    ("Zürich", "Europe/Zurich"),
    ("St. Petersburg", "Europe/Moscow"),
    ("San Francisco", "America/Los_Angeles"),
    ("Mumbai", "Asia/Kolkata"),
    ("Beijing", "Asia/Shanghai"),
    ("Munich", "Europe/Berlin"),
    ("Singapore", "Asia/Singapore"),
    ("Port-au-Prince", "America/Port-au-Prince"),
    ("UK", "Europe/London"),
    ("UTC", "UTC"),
    ("Z", "UTC"),
    ("GMT", "GMT"),
    ("PST", "America/Los_Angeles"),
    ("CET", "Europe/Paris"),
    ("UTC+2", "Etc/GMT-2"),
    ("gmt-05:00", "Etc/GMT+5"),
    ("UTC+0", "UTC"),
]


@pytest.mark.parametrize(("name", "zone"), KNOWN)
def test_names_that_people_use(name: str, zone: str) -> None:
    assert find_zone(name).key == zone
    assert is_zone(name)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("Tokio", "near matches: Asia/Tokyo"),
        ("Berln", "near matches: Europe/Berlin"),
        ("Atlantis", "near matches: America/New_York"),
        ("xyzzy", "give a large city, or an IANA name like Europe/Berlin"),
        ("", "give a large city, or an IANA name like Europe/Berlin"),
        ("../../etc/passwd", "give a large city, or an IANA name like Europe/Berlin"),
    ],
)
def test_unknown_names_list_near_matches(name: str, near: str) -> None:
    with pytest.raises(ToolError) as refusal:
        find_zone(name)
    text = str(refusal.value)
    assert text.startswith(f"{name!r} is not a known time zone or city; ")
    assert near.partition(":")[0] in text or near in text
    assert not is_zone(name)


def test_every_iana_zone_is_known() -> None:
    for zone in available_timezones() - {"localtime", "Factory"}:
        assert is_zone(zone), zone


def test_every_alias_means_a_zone_that_exists() -> None:
    for zone in set(zones._names().values()):
        assert find_zone(zone).key


def test_an_offset_that_no_place_has_is_unknown() -> None:
    with pytest.raises(ToolError, match="'UTC\\+99' is not a known time zone"):
        find_zone("UTC+99")
