"""Agents of other applications: found by setting and entry point, checked, and put beside Netra's own."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

import agents
from agents.definition import AgentDefinition
from agents.errors import AgentsUnusable
from agents.events import AgentCompleted, AgentEvent, AgentResponseChunk, AgentStarted, AgentThinking, Usage
from agents.models.choice import Models
from agents.own_agents import OwnAgent, find_own_agents, with_own_agents
from agents.pydantic_agent import PydanticAgent
from agents.registry import Agent, agent
from agents.request import RunRequest
from agents.roster import ROSTER, build_registry
from tests.agents.fakes import collect, make_request, plain_agent, supervise

Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Write modules of a package `mine`, which is forgotten at the end."""
    package = tmp_path / "mine"
    package.mkdir()
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)

    def write(code: str, name: str = "bots") -> str:
        (package / f"{name}.py").write_text(textwrap.dedent(code))
        return f"mine.{name}"

    yield write
    for module in [each for each in sys.modules if each.partition(".")[0] == "mine"]:
        del sys.modules[module]


def definition(name: str = "mine", **fields: Any) -> AgentDefinition:
    return AgentDefinition(name=name, description="Mine.", instructions="Be brief.", **fields)


def names(found: Sequence[AgentDefinition | Agent]) -> list[str]:
    return [each.name for each in found]


def refusal(*places: str) -> str:
    with pytest.raises(AgentsUnusable) as refused:
        find_own_agents(places)
    return str(refused.value)


# What agents are imported from


def test_everything_an_agent_needs_is_imported_from_one_place() -> None:
    assert {name for name in agents.__all__ if getattr(agents, name, None) is None} == set()
    assert agents.AgentDefinition is AgentDefinition
    with pytest.raises(AttributeError, match="module 'agents' has no attribute 'nonsense'"):
        getattr(agents, "nonsense")  # noqa: B009 - the type checker knows that there is none


def test_importing_the_package_costs_nothing_and_its_names_need_no_django() -> None:
    script = """
import sys
import agents
before = {name.partition(".")[0] for name in sys.modules} & {"pydantic", "pydantic_ai", "django"}
from agents import AgentDefinition, Tool, ToolContext, ToolError, UNREPEATABLE, agent
print(sorted(before), "django" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] False"


# Agents made of a function


async def test_text_that_is_yielded_is_the_answer_and_the_end_its_completion() -> None:
    @agent(name="echo", description="Says what it hears.")
    async def echo(request: RunRequest) -> AsyncIterator[str]:
        yield "You said: "
        yield ""
        yield request.prompt + "\x00"

    assert await collect(supervise(echo), make_request("hello", agent="echo")) == [
        AgentStarted(agent="echo", model="none", attempt=1),
        AgentResponseChunk(agent="echo", message_id="message-1", text="You said: "),
        AgentResponseChunk(agent="echo", message_id="message-1", text="hello\ufffd"),
        AgentCompleted(agent="echo", usage=Usage(model="none"), duration_ms=0),
    ]


async def test_events_pass_as_they_are_and_an_end_of_ones_own_is_the_end() -> None:
    spent = AgentCompleted(agent="mixed", usage=Usage(model="counted", input_tokens=3), duration_ms=0)

    @agent(name="mixed", description="Thinks first.", model_name="counted")
    async def mixed(request: RunRequest) -> AsyncIterator[str | AgentEvent]:
        yield AgentThinking(agent=request.agent, step=1, text="Hm.")
        yield "Yes."
        yield spent
        yield "Never said."

    events = await collect(supervise(mixed), make_request(agent="mixed"))
    assert events[1:] == [
        AgentThinking(agent="mixed", step=1, text="Hm."),
        AgentResponseChunk(agent="mixed", message_id="message-1", text="Yes."),
        spent,
    ]


async def test_what_the_function_raises_is_the_runs_failure_and_a_stop_reaches_its_clean_up() -> None:
    cleaned: list[str] = []

    @agent(name="tidy", description="Cleans up.")
    async def tidy(request: RunRequest) -> AsyncIterator[str]:
        try:
            yield "Beginning."
            if request.prompt == "fail":
                raise RuntimeError("broken")
            yield "More."
        finally:
            cleaned.append(request.prompt)

    with capture_logs():
        events = await collect(supervise(tidy), make_request("fail", agent="tidy"))
    assert events[-1].type == "agent_error"
    stream = tidy.run(make_request("stop", agent="tidy"))
    assert isinstance(await anext(stream), AgentResponseChunk)
    await stream.aclose()  # type: ignore[attr-defined]
    assert cleaned == ["fail", "stop"]


def test_only_an_async_generator_function_becomes_an_agent() -> None:
    async def no_generator(request: RunRequest) -> str:
        return request.prompt

    with pytest.raises(TypeError, match="'wrong' must be made of an async generator function"):
        agent(name="wrong", description="Returns.")(no_generator)  # type: ignore[arg-type]


# Finding them


BOTS = """
from agents import AgentDefinition, agent

@agent(name="echo", description="Says what it hears.")
async def echo(request):
    yield request.prompt

planner = AgentDefinition(name="planner", description="Plans.", instructions="Plan.", delegates=["echo"])
both = [echo, planner]

class Robot:
    name, description, model_name = "robot", "An object.", "none"
    def run(self, request): ...

robot = Robot()

class Shelf:
    top = robot
"""


def test_definitions_functions_objects_and_lists_of_them_are_found(write: Write) -> None:
    module = write(BOTS)
    found = find_own_agents([f"{module}:both", f"{module}:Shelf.top"])
    assert [(own.source, own.agent.name, type(own.agent).__name__) for own in found] == [
        (f"NETRA_AGENTS={module}:both", "echo", "FunctionAgent"),
        (f"NETRA_AGENTS={module}:both", "planner", "AgentDefinition"),
        (f"NETRA_AGENTS={module}:Shelf.top", "robot", "Robot"),
    ]


def installed(folder: Path, *entry_points: str) -> None:
    """A package `my-bots` that is installed in the folder, with these entry points."""
    metadata = folder / "my_bots-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: my-bots\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[netra.agents]\n" + "\n".join(entry_points) + "\n")


def test_entry_points_are_found_by_name_and_come_before_the_setting(write: Write, tmp_path: Path) -> None:
    module = write(BOTS)
    installed(tmp_path, f"b = {module}:planner", f"a = {module}:echo")
    assert [own.agent.name for own in find_own_agents([f"{module}:robot"])] == ["echo", "planner", "robot"]


def test_a_wrong_entry_point_is_named_with_its_package(write: Write, tmp_path: Path) -> None:
    module = write(BOTS)
    installed(tmp_path, f"weather = {module}:missing")
    expected = (
        f"The entry point 'weather' of the group netra.agents of my-bots cannot be used: {module} has no 'missing'."
    )
    assert refusal() == expected


WRONG = """
from agents import AgentDefinition, Tool, agent

def plain(request): ...
number = 7
badly_named = AgentDefinition(name="Bad Name", description="x", instructions="y")
too_long = AgentDefinition(name="a" * 33, description="x", instructions="y")
taken = AgentDefinition(name="title", description="x", instructions="y")
undescribed = AgentDefinition(name="mute", description="", instructions="y")
no_text = AgentDefinition(name=3, description="x", instructions="y")
class Robot:
    def run(self, request): ...
robot = Robot()
class Broken(Robot):
    @property
    def name(self): raise RuntimeError("the key is sk-secret-0123456789")
broken = Broken()
def look(): "Look."
twice = AgentDefinition(name="twice", description="x", instructions="y", tools=[Tool(look), Tool(look)])
clash = AgentDefinition(
    name="clash", description="x", instructions="y", tools=[Tool(look, name="ask_data")], delegates=["data"])
one_text = AgentDefinition(name="shy", description="x", instructions="y", examples="Does it rain?")
no_list = AgentDefinition(name="single", description="x", instructions="y", tools=Tool(look))
"""
NO_NAME = "is no agent's name: that has up to 32 small letters, digits and underscores, and begins with a letter."


@pytest.mark.parametrize(
    ("object_name", "reason"),
    [
        ("missing", "mine.bots has no 'missing'."),
        ("plain", "it is a function, not an agent: decorate it with @agent(name=…, description=…)."),
        ("number", "it is a int, not an agent."),
        ("Robot", "Robot is a class, and an agent is an object."),
        ("robot", "the name of this Robot is no text."),
        ("broken", "RuntimeError: the key is [removed]."),
        ("badly_named", f"'Bad Name' {NO_NAME}"),
        ("too_long", f"'{'a' * 33}' {NO_NAME}"),
        ("taken", "the name 'title' is taken."),
        ("undescribed", "the description of this AgentDefinition is no text."),
        ("no_text", "the name of this AgentDefinition is no text."),
        ("one_text", "the examples of this AgentDefinition are no list of questions."),
        ("clash", "it has a tool named 'ask_data', as is the one that asks its delegate."),
    ],
)
def test_what_is_no_agent_is_one_sentence(write: Write, object_name: str, reason: str) -> None:
    write(WRONG)
    with capture_logs():
        assert refusal(f"mine.bots:{object_name}") == f"NETRA_AGENTS=mine.bots:{object_name} cannot be used: {reason}"


@pytest.mark.parametrize(("object_name", "cause"), [("twice", "UserError: "), ("no_list", "TypeError: ")])
def test_tools_that_are_none_are_one_sentence(write: Write, object_name: str, cause: str) -> None:
    write(WRONG)
    with capture_logs():
        sentence = refusal(f"mine.bots:{object_name}")
    assert sentence.startswith(f"NETRA_AGENTS=mine.bots:{object_name} cannot be used: {cause}")
    assert "\n" not in sentence


@pytest.mark.parametrize("place", ["weather", "weather.agents", ":weather", "weather:", "a b:c", "weather:x()", "é:-"])
def test_what_is_no_place_is_one_sentence(place: str) -> None:
    assert refusal(place) == f"NETRA_AGENTS={place} cannot be used: must look like package.module:object."


def test_a_module_that_does_not_import_is_one_sentence_and_its_traceback_is_in_the_log(write: Write) -> None:
    write("import sys\nraise ValueError('no\\nforecast: password=hunter2hunter2')", "broken")
    with capture_logs() as logs:
        sentence = refusal("mine.broken:weather")
    assert sentence == (
        "NETRA_AGENTS=mine.broken:weather cannot be used: "
        "mine.broken cannot be imported (ValueError: no forecast: password=[removed])."
    )
    [entry] = logs
    assert (entry["event"], entry["cause"]) == ("own_agent_failed", "ValueError")
    assert "broken.py" in entry["exception"]
    assert "hunter2" not in entry["exception"]
    with capture_logs():
        missing = "ModuleNotFoundError: No module named 'mine.nowhere'"
        assert f"({missing})." in refusal("mine.nowhere:x")


# Beside Netra's own


def own(*given: AgentDefinition | Agent) -> list[OwnAgent]:
    return [OwnAgent(f"NETRA_AGENTS=mine:{place}", each) for place, each in enumerate(given)]


def test_own_agents_come_after_ours_and_one_of_the_same_name_takes_its_place() -> None:
    roster = [definition("assistant"), definition("data")]
    other = definition("assistant", delegates=["data", "echo"])
    echo = plain_agent(lambda _: AsyncNothing(), "echo")
    assert with_own_agents(roster, own(echo, other), default=None) == [other, roster[1], echo]
    assert with_own_agents(ROSTER, [], default=None) == list(ROSTER)


def test_the_default_agent_comes_first() -> None:
    roster = [definition("assistant"), definition("data")]
    assert names(with_own_agents(roster, own(definition()), default="mine")) == ["mine", "assistant", "data"]


@pytest.mark.parametrize(
    ("given", "default", "sentence"),
    [
        (
            own(definition("one"), definition("one")),
            None,
            "NETRA_AGENTS=mine:1 cannot be used: NETRA_AGENTS=mine:0 has an agent named 'one', too.",
        ),
        (
            own(definition("one", delegates=["assistant", "nobody"])),
            None,
            "NETRA_AGENTS=mine:0 cannot be used: it delegates to 'nobody': there is no such agent.",
        ),
        (
            own(definition("one", delegates=["one"])),
            None,
            "NETRA_AGENTS=mine:0 cannot be used: it delegates to 'one': that is its own name.",
        ),
        (own(), "weather", "NETRA_DEFAULT_AGENT=weather cannot be used: the agents are assistant."),
    ],
)
def test_what_does_not_fit_together_is_one_sentence(given: list[OwnAgent], default: str | None, sentence: str) -> None:
    with pytest.raises(AgentsUnusable) as refused:
        with_own_agents([definition("assistant")], given, default=default)
    assert str(refused.value) == sentence


def test_all_kinds_are_built_into_one_registry_and_can_be_asked_by_each_other() -> None:
    echo = plain_agent(lambda _: AsyncNothing(), "echo")
    registry = build_registry([definition(delegates=["echo"]), echo], Models())
    built = registry.get("mine")
    assert isinstance(built, PydanticAgent)
    assert registry.get("echo") is echo
    assert registry.names == ("mine", "echo")


class AsyncNothing:
    """A stream that ends at once."""

    def __aiter__(self) -> AsyncIterator[AgentEvent]:
        return self

    async def __anext__(self) -> AgentEvent:
        raise StopAsyncIteration
