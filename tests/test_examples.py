"""That a page whose examples show something else than they print is noticed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.examples import Block, Terminal, assert_shown, blocks_of, example_lines


@pytest.mark.parametrize(
    ("language", "shown", "printed"),
    [
        ("json", '{"id": "…", "n": 1, "more": {"a": …}}', '{"n":1,"more":{"a":[2]},"id":"x"}'),
        ("json", '{"id": 1, …}', '{"id":1,"b":2,"c":3}'),
        ("json", '{"list": [{"a": 1, …}, …], "href": "/runs/…/x"}', '{"list":[{"a":1,"b":2},3],"href":"/runs/7/x"}'),
        ("json", "[…]", "[]"),
        ("text", "one\n…\ntwo … three\n", "one\nx\ny\ntwo and three\n"),
        ("text", "one\n…\n", "one\n"),
        ("text", 'data: {"a":1,"b":{"c":"…"}}\n', 'data: {"a":1,"b":{"c": "x"}}\n'),
    ],
)
def test_placeholders_stand_for_what_differs(language: str, shown: str, printed: str) -> None:
    assert_shown(printed, Block(language, "output", shown, 1))


@pytest.mark.parametrize(
    ("language", "shown", "printed"),
    [
        ("json", '{"id": "…", "n": 1}', '{"id":"x","n":2}'),
        ("json", '{"id": 1}', '{"id":1,"b":2}'),
        ("json", '{"id": 1, "b": 2, …}', '{"id":1}'),
        ("json", '{"n": 1}', '{"n":true}'),
        ("json", "[1, 2]", "[1]"),
        ("json", "[1]", "[1, 2]"),
        ("json", '"/runs/…/x"', '"/runs/7/y"'),
        ("text", "one\n", "one\ntwo\n"),
        ("text", "one … two\n", "one\ntwo\n"),
        ("text", "a.c\n", "abc\n"),
        ("text", 'data: {"a":1,"b":"…"}\n', 'data: {"a":1, "c":"x"}\n'),
    ],
)
def test_anything_else_that_differs_is_noticed(language: str, shown: str, printed: str) -> None:
    with pytest.raises(AssertionError):
        assert_shown(printed, Block(language, "output", shown, 1))


def test_what_is_printed_and_not_shown_is_noticed() -> None:
    assert_shown("", None)
    with pytest.raises(AssertionError):
        assert_shown("Deprecated!\n", None)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("bash", "false | cat"),
        ("bash", "echo $NAMED_NOWHERE"),
        ("bash", "echo complaint >&2"),
        ("python", "import sys; sys.exit(3)"),
        ("python", "import os; os.environ['LOCAL']"),
        ("js", "throw new Error('wrong')"),
    ],
)
def test_an_example_that_fails_or_complains_is_noticed(tmp_path: Path, language: str, text: str) -> None:
    with Terminal(tmp_path, {"PATH": os.environ["PATH"]}) as terminal:
        assert terminal.run("bash", "LOCAL=1\nexport KNOWN=2\nsay() { echo $LOCAL$KNOWN; }") == ""
        assert terminal.run("bash", "say") == "12\n"
        assert terminal.run("python", "import os; print(os.environ['KNOWN'])") == "2\n"
        with pytest.raises(AssertionError):
            terminal.run(language, text)


def test_blocks_are_found_with_their_lines(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Page\n\n```bash\necho 1\n```\n\n```text output\n1\n```\n")
    assert blocks_of(page) == [Block("bash", "", "echo 1\n", 3), Block("text", "output", "1\n", 7)]


def test_an_example_that_would_not_be_run_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "```sh\n1\n```\n- x\n\n  ```python\n  2\n  ```\n\n~~~ js\n3\n~~~\n```bash\n4\n```\n```json output\n5\n```\n"
    )
    assert example_lines(page) == [6, 10, 13, 16]
    assert [block.line for block in blocks_of(page)] == [1, 13, 16]
