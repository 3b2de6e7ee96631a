"""The OpenAPI document as a page for people: nothing is fetched from elsewhere."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

_Node = Mapping[str, Any]
_BOUNDS: Final = {
    "minimum": "at least",
    "maximum": "at most",
    "minLength": "characters, at least",
    "maxLength": "characters, at most",
    "minItems": "items, at least",
    "maxItems": "items, at most",
}


@dataclass(frozen=True, slots=True)
class Field:
    """A parameter or a member. `schema` is the name of the object that it holds, or empty."""

    name: str
    place: str
    kind: str
    schema: str
    required: bool
    notes: str


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path. `body` and `answer` are names of objects, or empty."""

    name: str
    method: str
    path: str
    tag: str
    summary: str
    scope: str
    parameters: tuple[Field, ...]
    body: str
    answer: str
    statuses: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Object:
    """`example` is JSON, or empty."""

    name: str
    text: str
    fields: tuple[Field, ...]
    example: str


def reference_of(document: _Node) -> dict[str, Any]:
    """What the page's template takes."""
    operations = operations_of(document)
    return {
        "groups": [(tag, [*each]) for tag, each in groupby(operations, lambda one: one.tag)],
        "objects": [*objects_of(document)],
    }


def operations_of(document: _Node) -> Iterator[Operation]:
    """In the document's order."""
    for path, methods in document["paths"].items():
        for method, each in methods.items():
            answers = {str(status): answer for status, answer in each["responses"].items()}
            good = next(answers[status] for status in sorted(answers) if status[0] == "2")
            yield Operation(
                name=each["operationId"],
                method=method.upper(),
                path=path,
                tag=each["tags"][0],
                summary=each["summary"],
                scope=each["security"][0]["key"][0],
                parameters=tuple(_parameter(one) for one in each["parameters"]),
                body=_content(each.get("requestBody", {})),
                answer=_content(good),
                statuses=tuple(
                    (status, answer["description"]) for status, answer in sorted(answers.items())
                ),
            )


def objects_of(document: _Node) -> Iterator[Object]:
    """What bodies and answers hold, by name."""
    for name, schema in sorted(document["components"]["schemas"].items()):
        required = schema.get("required", ())
        fields = tuple(
            _field(member, "", member in required, each, each)
            for member, each in schema.get("properties", {}).items()
        )
        shown = "\n\n".join(json.dumps(each, indent=2) for each in schema.get("examples", ()))
        yield Object(name, schema.get("description", ""), fields, shown)


def _parameter(one: _Node) -> Field:
    return _field(one["name"], one["in"], one.get("required", False), one["schema"], one)


def _field(name: str, place: str, required: bool, schema: _Node, said: _Node) -> Field:
    text = said.get("description") or schema.get("description", "")
    notes = [text] if text else []
    notes += [f"{words} {schema[bound]}" for bound, words in _BOUNDS.items() if bound in schema]
    if schema.get("default") not in (None, "", []):
        notes.append(f"default {schema['default']}")
    return Field(name, place, kind_of(schema), _held(schema), required, "; ".join(notes))


def kind_of(schema: _Node) -> str:
    """What a value is, in words: "text (uuid) or null"."""
    if "$ref" in schema:
        return _name(schema)
    if "anyOf" in schema:
        return " or ".join(kind_of(each) for each in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    if "const" in schema:
        return str(schema["const"])
    if schema.get("type") == "array":
        return f"list of {kind_of(schema.get('items', {}))}"
    plain = str(schema.get("type", "anything"))
    word = {"string": "text", "integer": "whole number"}.get(plain, plain)
    return f"{word} ({schema['format']})" if "format" in schema else word


def _held(schema: _Node) -> str:
    """The object that a value is, or is a list of."""
    if "$ref" in schema:
        return _name(schema)
    parts = [*schema.get("anyOf", ()), *([schema["items"]] if "items" in schema else [])]
    return next((found for found in map(_held, parts) if found), "")


def _content(part: _Node) -> str:
    contents = part.get("content", {}).values()
    return next((_held(each["schema"]) for each in contents), "")


def _name(schema: _Node) -> str:
    return str(schema["$ref"]).rpartition("/")[2]
