"""A provider with two customers and measured usage, and people who may read it."""

from collections.abc import Iterator

import pytest
from django.core.cache import cache
from django.test import Client
from pytest_django import Settings

from tenants.models import Member, Tenant
from tests.portal.world import World, make_person, make_world, visit


@pytest.fixture(autouse=True)
def own_cache(settings: Settings) -> Iterator[None]:
    """No Redis, quick passwords, and failed attempts that count in one test alone."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def world(tenant: Tenant) -> World:
    return make_world(tenant)


@pytest.fixture
def reader(world: World, client: Client) -> Client:
    """Signed in as a viewer of the first customer."""
    person = make_person("viewer@first.example", world.tenant, Member.Role.VIEWER, world.customer)
    client.force_login(person)
    return client


@pytest.fixture
def staff(world: World) -> Client:
    """Signed in as the provider's billing staff, who read the first customer's pages."""
    client = Client()
    client.force_login(make_person("billing@first.example", world.tenant, Member.Role.BILLING))
    return visit(client, world.customer)
