"""Lists of the admin ask as much for many rows as for few."""

import pytest
from django.contrib import admin
from django.db import connection
from django.db.models import Model
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.admin.filling import filled
from tests.admin.signing_in import signed_in
from tests.conftest import Keep

MODELS = [model for model in admin.site._registry if model is not Tenant]


@pytest.fixture(scope="module")
def few_and_many(keep: Keep[tuple[Tenant, Tenant]]) -> tuple[Tenant, Tenant]:
    words = "first", "second", "third", "fourth"
    return keep(lambda: (filled("small-host", "only"), filled("large-host", *words)))


def asked_for(model: type[Model], tenant: Tenant) -> tuple[int, list[str]]:
    """How many rows the tenant has, and what the list asks the database."""
    address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    client = signed_in(tenant)
    # Whatever a process asks once is not a list's.
    client.get(address)
    with CaptureQueriesContext(connection) as asked:
        assert client.get(address).status_code == 200
    with tenant_scope(tenant.pk):
        rows = model._default_manager.count()
    return rows, [each["sql"] for each in asked.captured_queries]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.model_name)
def test_a_list_asks_no_more_for_more_rows(
    model: type[Model], few_and_many: tuple[Tenant, Tenant], db: None
) -> None:
    (few, for_few), (many, for_many) = (asked_for(model, each) for each in few_and_many)
    if model._meta.model_name not in ONE_OF_A_TENANT:
        assert many > few
    assert len(for_many) <= len(for_few), "\n".join(for_many)


ONE_OF_A_TENANT = {"billingsettings", "processoraccount", "signinprovider"}
