from pathlib import Path

import pytest
from django.core.cache import cache
from pytest_django.fixtures import Settings

from metering.known_hosts import known_hosts
from tenants.models import Tenant
from tenants.rates import rates
from tests.metering.delivering import Agent


@pytest.fixture(autouse=True)
def _fresh_process(settings: Settings, tmp_path: Path) -> None:
    """What a web process keeps between requests starts empty; the counting needs no Redis, and
    serving static files no collected ones."""
    settings.STATIC_ROOT = tmp_path
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    cache.clear()
    known_hosts.forget()
    rates.forget()


@pytest.fixture
def agent(tenant: Tenant) -> Agent:
    return Agent(tenant).enrol()
