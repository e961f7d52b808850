"""The local model: SmolLM2 with 135 million parameters, run by a process of our own, to see that everything works.

It is often wrong and cannot use tools. So it is asked without them, and an agent whose instructions are about its tools
has others for it.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import sys
import time

import httpx2
import structlog
from openai import AsyncOpenAI
from pydantic_ai.direct import model_request_stream
from pydantic_ai.messages import (
    InstructionPart,
    ModelMessage,
    ModelRequest,
    ModelRequestPart,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.profiles.openai import OpenAIModelProfile
from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

from agents.errors import ModelUnusable
from agents.models.local_server import CONTEXT_TOKENS, LocalModelDown, LocalPackages, LocalServer

NAME = "local"
LABEL = "SmolLM2-135M: a small local model, often wrong, cannot use tools"
INSTRUCTIONS = """\
You are Netra, a helpful assistant in a chat application. Answer in the language of the question, as briefly as the
question allows. You have no tools. Say so when you do not know something."""


class LocalTransport(httpx2.AsyncBaseTransport):
    """Sends each request to the server that is alive then."""

    def __init__(self, server: LocalServer) -> None:
        self._server = server
        # A connection that is kept may be one to a server that has died.
        limits = httpx2.Limits(max_keepalive_connections=0)
        self._network = httpx2.AsyncHTTPTransport(trust_env=False, limits=limits)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        try:
            endpoint = await self._server.endpoint()
        except LocalModelDown as error:
            raise httpx2.ConnectError(str(error), request=request) from error
        request.url = request.url.copy_with(host=endpoint.host, port=endpoint.port)
        request.headers["Host"] = f"{endpoint.host}:{endpoint.port}"
        request.headers["Authorization"] = f"Bearer {endpoint.key}"
        return await self._network.handle_async_request(request)

    async def aclose(self) -> None:
        await self._network.aclose()


class LocalModel(OpenAIChatModel):
    """Asks the server without tools."""

    def __init__(self, server: LocalServer) -> None:
        client = AsyncOpenAI(
            base_url="http://127.0.0.1/v1",
            api_key=NAME,  # the transport puts the server's in its place
            http_client=httpx2.AsyncClient(transport=LocalTransport(server), trust_env=False),
            max_retries=0,
        )
        # A server that dies in the middle must not pass for one that has ended its answer.
        profile = OpenAIModelProfile(
            context_window=CONTEXT_TOKENS,
            openai_chat_streaming_requires_finish_reason=True,
            supports_image_input=False,
        )
        super().__init__(NAME, provider=OpenAICompatibleProvider(NAME, openai_client=client, profile=profile))

    def customize_request_parameters(self, model_request_parameters: ModelRequestParameters) -> ModelRequestParameters:
        parameters = super().customize_request_parameters(model_request_parameters)
        if not parameters.function_tools and not parameters.native_tools:
            return parameters
        instructions = [InstructionPart(content=INSTRUCTIONS)]
        return dataclasses.replace(parameters, function_tools=[], native_tools=[], instruction_parts=instructions)

    def prepare_messages(
        self, messages: list[ModelMessage], model_request_parameters: ModelRequestParameters | None = None
    ) -> list[ModelMessage]:
        return super().prepare_messages(without_tools(messages), model_request_parameters)


def without_tools(messages: list[ModelMessage]) -> list[ModelMessage]:
    """The conversation as text: what tools gave is told, that they were called is not."""
    told: list[ModelMessage] = []
    for message in messages:
        if isinstance(message, ModelRequest):
            told.append(dataclasses.replace(message, parts=[_told(part) for part in message.parts]))
        elif parts := [part for part in message.parts if not isinstance(part, ToolCallPart)]:
            told.append(dataclasses.replace(message, parts=parts))
    return told


def _told(part: ModelRequestPart) -> ModelRequestPart:
    if not isinstance(part, ToolReturnPart):
        return part
    return UserPromptPart(content=f"Result of {part.tool_name}: {part.model_response_str()}")


@functools.cache
def shared_server() -> LocalServer:
    """One child for all agents of this process. Raises ModelUnusable."""
    return LocalServer(LocalPackages.find())


async def check() -> None:
    """Ask it something, and say how fast it is and how to use it."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("warning"))
    server = LocalServer(LocalPackages.find())
    begin = time.perf_counter()
    await server.endpoint()
    print(f"{LABEL}.\nStarted in {time.perf_counter() - begin:.1f} seconds. What is the sea?\n")
    pieces, begin, first = 0, time.perf_counter(), 0.0
    try:
        async with model_request_stream(
            LocalModel(server), [ModelRequest.user_text_prompt("What is the sea?")]
        ) as events:
            async for event in events:
                match event:
                    case (
                        PartStartEvent(part=TextPart(content=text))
                        | PartDeltaEvent(delta=TextPartDelta(content_delta=text))
                    ):
                        print(text, end="", flush=True)
                        first = first or time.perf_counter()
                        pieces += 1
    finally:
        server.stop()
    seconds = time.perf_counter() - first
    print(f"\n\n{pieces / seconds:.0f} tokens/s, the first after {first - begin:.1f} seconds.")
    print("Use it with: NETRA_MODEL=local make run")


if __name__ == "__main__":
    try:
        asyncio.run(check())
    except (ModelUnusable, LocalModelDown) as error:
        sys.exit(str(error))
