"""The page that says for people what the OpenAPI document says for programs."""

import json
import re
from typing import Any

import pytest
from django.test import Client

from config.api import api
from config.api_reference import kind_of
from tenants.api.fields import Taken
from tests.isolation_entries import API_OPERATIONS


def test_the_page_describes_every_operation() -> None:
    page = Client().get("/api/v1/docs").content.decode()
    ids = set(re.findall(r'id="([^"]+)"', page))
    assert set(API_OPERATIONS) <= ids


def test_every_link_of_the_page_leads_somewhere() -> None:
    page = Client().get("/api/v1/docs").content.decode()
    ids = set(re.findall(r'id="([^"]+)"', page))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= ids


def test_the_page_asks_no_other_server() -> None:
    page = Client().get("/api/v1/docs").content.decode()
    loaded = re.findall(
        r"<(?:script|link|img|iframe|form)\b[^>]*?(?:src|href|action)=\"([^\"]+)\"", page
    )
    assert loaded
    assert all(each.startswith("/") and "//" not in each for each in loaded)


def _bodies() -> dict[str, Any]:
    """The schemas of all JSON bodies, by name."""
    document = json.loads(json.dumps(api.get_openapi_schema()))
    contents = [
        operation.get("requestBody", {}).get("content", {}).get("application/json")
        for methods in document["paths"].values()
        for operation in methods.values()
    ]
    names = {each["schema"]["$ref"].rpartition("/")[2] for each in contents if each}
    return {name: document["components"]["schemas"][name] for name in sorted(names)}


@pytest.mark.parametrize("name", _bodies())
def test_every_body_has_an_example_that_it_takes(name: str) -> None:
    (taken,) = [each for each in _taken(Taken) if each.__name__ == name]
    (example,) = _bodies()[name]["examples"]
    assert taken.model_validate(example)


def _taken(of: type[Taken]) -> list[type[Taken]]:
    return [of, *(each for sub in of.__subclasses__() for each in _taken(sub))]


def test_every_parameter_of_a_query_says_what_it_is() -> None:
    document = json.loads(json.dumps(api.get_openapi_schema()))
    silent = {
        (operation["operationId"], one["name"])
        for methods in document["paths"].values()
        for operation in methods.values()
        for one in operation["parameters"]
        if one["in"] == "query" and not one.get("description")
    }
    assert silent == set()


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "string", "format": "uuid"}, "text (uuid)"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "whole number or null"),
        ({"type": "array", "items": {"$ref": "#/components/schemas/LineOut"}}, "list of LineOut"),
        ({"enum": ["paid", "promotional"]}, "paid, promotional"),
    ],
)
def test_kinds_are_told_in_words(schema: dict[str, object], words: str) -> None:
    assert kind_of(schema) == words
