from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import sys
import agents.supervisor, agents.roster, agents.pydantic_agent, agents.offline.model
forbidden = {"django", "channels", "chat", "netra", "openai", "anthropic", "mcp"}
print(sorted(name for name in sys.modules if name.partition(".")[0] in forbidden))
"""


@pytest.mark.parametrize("script", [SCRIPT])
def test_the_agents_need_neither_django_nor_a_providers_library(script: str) -> None:
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
