"""The types of the protocol as JSON schemas: what is sent exactly as it is sent, and commands as they are read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, models_json_schema
from pydantic_core import core_schema

from chat.asyncapi.codes import ERRORS, RUN_ERRORS

REFERENCE = "#/components/schemas/{model}"
Field = core_schema.ModelField | core_schema.DataclassField | core_schema.TypedDictField


class Untitled(GenerateJsonSchema):
    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - a name needs no title made of it
        return False


class _Sent(Untitled):
    """A field without a value is absent, never null; every other field is there."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def field_is_required(self, field: Field, total: bool) -> bool:  # noqa: ARG002 - pydantic's signature
        inner = field["schema"]
        return inner["type"] != "default" or inner.get("default") is not None


def schemas(*, sent: Iterable[type[BaseModel]], read: Iterable[type[BaseModel]]) -> dict[str, Any]:
    """The components that describe these types, by their names."""
    found: dict[str, Any] = {}
    for generator, types in ((_Sent, sent), (Untitled, read)):
        _, definitions = models_json_schema(
            [(kind, "validation") for kind in types], ref_template=REFERENCE, schema_generator=generator
        )
        found |= definitions["$defs"]
    found["ErrorCode"] = {"type": "string", "enum": list(ERRORS), "description": table(ERRORS)}
    found["AgentErrorData"]["properties"]["error_code"]["description"] = table(RUN_ERRORS)
    return {name: _plain(schema) for name, schema in sorted(found.items())}


def table(meanings: dict[Any, str]) -> str:
    return "\n".join(
        ["| code | meaning |", "|---|---|", *(f"| `{code}` | {text} |" for code, text in meanings.items())]
    )


def _plain(schema: Any) -> Any:
    """As JSON Schema draft 7 has it, which AsyncAPI's is: what stands beside a `$ref` would not count."""
    match schema:
        case {"$ref": reference, **others} if others:
            return {**_plain(others), "allOf": [{"$ref": reference}]}
        case dict():
            return {name: _plain(value) for name, value in schema.items()}
        case list():
            return [_plain(value) for value in schema]
        case _:
            return schema
