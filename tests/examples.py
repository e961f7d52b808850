"""The examples of a page, run as a reader runs them: in one terminal, from the first to the last."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

# What a page shows for whatever differs from one time to the next.
ANYTHING = "…"


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: the word behind its fence, the rest of that line, and on which line of the page it stands."""

    language: str
    info: str
    text: str
    line: int


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text()
    found = re.finditer(r"^```(\w+) ?([^\n]*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [Block(match[1], match[2], match[3], text.count("\n", 0, match.start()) + 1) for match in found]


EXAMPLES = ("bash", "python", "js")
OUTPUT = "output"
_LIKE_EXAMPLES = (*EXAMPLES, "py", "python3", "javascript", "mjs", "ts", "shell", "console")
_FENCE = re.compile(r"^[ \t>]*(?:`{3,}|~{3,})[ \t]*([^\s`{]+)[ \t]*(\w*)", re.MULTILINE)


def example_lines(page: Path) -> list[int]:
    """On which lines of a page examples and what they print begin, however the fences are written."""
    text = page.read_text()
    found = [match for match in _FENCE.finditer(text) if match[1].lower() in _LIKE_EXAMPLES or match[2] == OUTPUT]
    return [text.count("\n", 0, match.start()) + 1 for match in found]


class Terminal:
    """A shell that lives as long as the page is read. Programs in other languages are started from it."""

    COMMANDS: Mapping[str, tuple[str, str]] = {"bash": (".", "sh"), "python": ("python", "py"), "js": ("node", "mjs")}

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self._environment = environment
        self._number = 0

    def __enter__(self) -> Self:
        self._shell = subprocess.Popen(
            ["bash", "-euo", "pipefail"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=self.folder,
            env=dict(self._environment),
            start_new_session=True,
            text=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._shell.poll() is None:
            os.killpg(self._shell.pid, signal.SIGKILL)
        self._shell.communicate()

    def run(self, language: str, text: str) -> str:
        """What the example prints. It must succeed, and complain of nothing."""
        self._number += 1
        command, ending = self.COMMANDS[language]
        program, out, err = (self.folder / f"example-{self._number}.{end}" for end in (ending, "out", "err"))
        program.write_text(text)
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        quoted = [shlex.quote(str(path)) for path in (program, out, err)]
        self._shell.stdin.write(f"{command} {quoted[0]} >{quoted[1]} 2>{quoted[2]} </dev/null\necho succeeded\n")
        self._shell.stdin.flush()
        # A failure ends the shell.
        answer = self._shell.stdout.readline()
        assert (answer, err.read_text()) == ("succeeded\n", ""), f"{text}\n{out.read_text()}\n{err.read_text()}"
        return out.read_text()


def assert_shown(printed: str, shown: Block | None) -> None:
    """What an example printed is what the page shows beside it: JSON as JSON, anything else line by line.

    Within a line JSON may have blanks between its members: an event has them or not, as it came from the log or live.
    `…` within a line stands for something, on a line of its own for any number of lines, and in JSON for any value, any
    further members, or any further elements. Where nothing is shown nothing is printed.
    """
    if shown is None:
        assert not printed, f"the page does not show what is printed: {printed}"
    elif shown.language == "json":
        problems = list(_differences(_placeholders(shown.text), json.loads(printed)))
        assert not problems, f"{problems}\nline {shown.line}: {shown.text}\nprinted: {printed}"
    else:
        lines = [r"(?:.*\n)*" if line == ANYTHING else f"{_line(line)}\n" for line in shown.text.splitlines()]
        assert re.fullmatch("".join(lines), f"{printed.rstrip()}\n"), f"line {shown.line}: {shown.text}\n{printed}"


def _line(text: str) -> str:
    return re.sub(r'(?<="):|,(?=")', r"\g<0> ?", _pattern(text))


def _pattern(text: str) -> str:
    return ".+".join(map(re.escape, text.split(ANYTHING)))


def _placeholders(text: str) -> Any:
    """A bare `…` as a string; as a member of an object, behind which there may be more, with a value."""
    quoted, member = r'("(?:[^"\\]|\\.)*")', r"([,{]\s*)…(?=\s*\})"
    text = re.sub(f"{quoted}|{member}", lambda found: found[1] or f'{found[2]}"{ANYTHING}": 0', text)
    return json.loads(re.sub(f"{quoted}|…", lambda found: found[1] or f'"{ANYTHING}"', text))


def _differences(shown: Any, printed: Any, path: str = "the output") -> Iterator[str]:
    if shown == ANYTHING:
        return
    if type(shown) is not type(printed):
        yield f"{path} is {printed!r}"
    elif isinstance(shown, dict):
        named = shown.keys() - {ANYTHING}
        if named - printed.keys() or (ANYTHING not in shown and printed.keys() - named):
            yield f"{path} has {sorted(printed)}"
        for name in named & printed.keys():
            yield from _differences(shown[name], printed[name], f"{path}.{name}")
    elif isinstance(shown, list):
        more = shown[-1:] == [ANYTHING]
        items = shown[:-1] if more else shown
        if len(printed) < len(items) or (len(printed) > len(items) and not more):
            yield f"{path} has {len(printed)} elements"
        for number, (item, found) in enumerate(zip(items, printed, strict=False)):
            yield from _differences(item, found, f"{path}[{number}]")
    elif not (re.fullmatch(_pattern(shown), printed, re.DOTALL) if isinstance(shown, str) else shown == printed):
        yield f"{path} is {printed!r}"
