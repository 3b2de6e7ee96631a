"""The page that says for people what the OpenAPI document says for programs."""

import re

import pytest
from django.test import Client

from config.api_reference import kind_of
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
    assert "//" not in re.sub(r"<!.*?>", "", Client().get("/api/v1/docs").content.decode())


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
