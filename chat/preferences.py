"""What a person has chosen for all devices."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from chat.errors import ChatError, ErrorCode
from chat.models import Preferences


def default_agent_of(user_id: Any) -> str | None:
    """The agent that the person asks when none is named. The server may have it no more."""
    found = Preferences.objects.filter(user_id=user_id).values_list("default_agent", flat=True).first()
    return found or None


def choose_default_agent(user_id: Any, name: str | None, *, agents: Collection[str]) -> None:
    """None: whichever is the server's. Raises ChatError with AGENT_NOT_FOUND."""
    if name is not None and name not in agents:
        raise ChatError(ErrorCode.AGENT_NOT_FOUND, "There is no such agent", details={"agents": list(agents)})
    Preferences.objects.update_or_create(user_id=user_id, defaults={"default_agent": name or ""})
