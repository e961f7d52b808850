"""What is wrong with a deployment, seen from outside with a real client: docs/probe.md.

Stages (network, http, sockets, runs) observe, `diagnosis` decides what it means, `report` says it. It needs no settings
and no database.
"""

from __future__ import annotations

from netra.probe.probing import probe
from netra.probe.report import to_json, to_text
from netra.probe.target import Target, WrongUsage, read_target

__all__ = ["Target", "WrongUsage", "probe", "read_target", "to_json", "to_text"]
