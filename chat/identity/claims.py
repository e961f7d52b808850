"""What a provider is asked, and what it answers. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

Speaks = Literal["token", "proxy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Presented:
    """What a request brought: a token in its body, and its headers, by lower-case names. Neither is to be believed."""

    token: str | None
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who somebody is at a provider.

    `provider` and `subject` together are one person for ever: `subject` must never be given to somebody else, so it is
    no name and no address. `username` and `email` are for a new user only; nobody is ever found by them.
    """

    provider: str
    subject: str
    username: str = ""
    email: str = ""


class IdentityProvider(Protocol):
    """Says who somebody is, or raises Refused or Unavailable. Made once in a process; used by several threads at once.

    `speaks`: whether people bring a token, or come through a proxy that has signed them in.
    """

    speaks: Speaks

    def identify(self, presented: Presented) -> Identity: ...


class Refused(Exception):
    """It is not known who this is. `reason` is for the log, without anything that was presented."""

    def __init__(self, reason: str, *, expired: bool = False) -> None:
        super().__init__(reason)
        self.expired = expired


class Unavailable(Exception):
    """The provider cannot be asked at the moment."""
