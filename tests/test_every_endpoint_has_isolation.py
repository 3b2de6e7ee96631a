"""No page or endpoint comes without a test that it shows one tenant's data alone."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from tenants.models import Tenant
from tests.admin.test_admin_isolation import MODELS
from tests.isolation_entries import API_OPERATIONS, ISOLATION_TESTS

_ROOT = Path(__file__).resolve().parent.parent
# The admin's pages are tested model by model, below.
_BY_MODEL = "admin"


def route_names(resolver: URLResolver, namespaces: tuple[str, ...] = ()) -> Iterator[str]:
    for entry in resolver.url_patterns:
        if isinstance(entry, URLPattern):
            assert entry.name, f"{entry.pattern} has no name to be listed under"
            yield ":".join((*namespaces, entry.name))
        elif isinstance(entry, URLResolver) and entry.namespace != _BY_MODEL:
            inner = (*namespaces, entry.namespace) if entry.namespace else namespaces
            yield from route_names(entry, inner)


def named_tests(path: Path) -> Iterator[str]:
    """`Class::test` and `test` names, as pytest spells them."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef):
            yield node.name
        if isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef):
                    yield f"{node.name}::{inner.name}"


def test_every_route_names_its_isolation_test() -> None:
    routes = set(route_names(get_resolver()))
    assert routes - ISOLATION_TESTS.keys() == set(), "add these to tests/isolation_entries.py"
    assert ISOLATION_TESTS.keys() - routes == set(), "these routes are gone"


@pytest.mark.parametrize("test", sorted({*ISOLATION_TESTS.values(), *API_OPERATIONS.values()}))
def test_every_named_test_exists(test: str) -> None:
    path, _, name = test.partition("::")
    assert name in set(named_tests(_ROOT / path))


def test_every_model_in_the_admin_is_tested() -> None:
    """The list of tenants itself has a policy of its own and tests beside the models'."""
    assert {*MODELS, Tenant} == set(admin.site._registry)


@pytest.mark.django_db
def test_health_says_nothing_of_anyone() -> None:
    assert Client().get("/health/").content == b"ok\n"
