"""The text that an answer's Markdown has once it is rendered, whatever becomes of the page that renders it."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.browser import plain
from tests.chaos.page_record import letters, text_of
from tests.processes import REPOSITORY


class Rendering:
    """Node with the page's own reader of Markdown, outside of any page."""

    def __enter__(self) -> Self:
        script = Path(__file__).with_name("rendering.mjs")
        self._known: dict[str, str] = {"": ""}
        self._process = subprocess.Popen(
            ["node", str(script), str(REPOSITORY / "web")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.communicate()

    def text(self, markdown: str) -> str:
        if markdown not in self._known:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.write(json.dumps(markdown) + "\n")
            self._process.stdin.flush()
            text = self._known[markdown] = text_of(json.loads(self._process.stdout.readline()))
            # The renderer itself leaves nothing out and adds nothing; links and raw HTML say more than they show.
            assert re.search(r"[<&]|\]\(|://", markdown) or letters(text) == plain(markdown), (markdown, text)
        return self._known[markdown]
