"""Every operation shows one tenant's, and one customer's, data alone."""

import json
from copy import deepcopy
from typing import Any
from uuid import uuid4

import pytest

from config.api import api
from metering.models import Host
from tenants.models import Customer, IdempotencyRecord, Tenant
from tenants.scope import tenant_scope
from tenants.scopes import CUSTOMER_SCOPES
from tests.api.calling import Program, done, problem, program_of
from tests.api.conftest import Provider, provider_in
from tests.api.test_disputes import disputed
from tests.conftest import Keep, make_tenant
from tests.isolation_entries import API_OPERATIONS

pytestmark = pytest.mark.django_db

_DOCUMENT: dict[str, Any] = json.loads(json.dumps(api.get_openapi_schema()))
_OPERATIONS = {
    operation["operationId"]: (method, path.removeprefix("/api/v1"))
    for path, methods in _DOCUMENT["paths"].items()
    for method, operation in methods.items()
}
_SCOPES = {
    operation["operationId"]: operation["security"][0]["key"]
    for methods in _DOCUMENT["paths"].values()
    for operation in methods.values()
}
_LISTS = [
    name
    for name, (method, path) in _OPERATIONS.items()
    if method == "get" and "{" not in path and path != "/usage"
]
_ONE = [name for name, (_, path) in _OPERATIONS.items() if "{" in path]

_PRICE = {"label": "CPU", "meter": "cpu.time", "unit": "CPU-hour", "unit_price": "0.02"}

BODIES: dict[str, Any] = {
    "update_customer": {"name": "Taken"},
    "update_environment": {"name": "Taken"},
    "retire_an_environment": {},
    "bring_an_environment_back": {},
    "update_policy": {"name": "Taken"},
    "create_policy_version": {"cpu_millicores": 1},
    "replace_policy_draft": {"cpu_millicores": 1},
    "publish_policy_version": {},
    "roll_policy_version_out": {"rollout_percent": 1},
    "roll_policy_version_back": {},
    "assign": {"customer_id": str(uuid4())},
    "end_a_subscription": {"ends_at": "2026-11-20T00:00:00Z"},
    "void_credit_grant": {"reason": "taken"},
    "update_webhook_endpoint": {"enabled": False},
    "update_budget": {"name": "Taken"},
    "update_wallet": {"enabled": False},
    "create_top_up": {"amount": "1"},
    "fail_top_up": {"reason": "taken"},
    "end_own_price": {"ends_at": "2026-12-20T00:00:00Z"},
    "end_allocation_rule": {"ends_at": "2026-12-20T00:00:00Z", "author": "taken"},
    "end_a_discount": {"ends_at": "2026-12-20T00:00:00Z"},
    "void_an_invoice": {"reason": "taken"},
    "create_dispute": {"line": 1, "reason": "price", "words": "taken", "author": "nobody"},
    "answer_a_dispute": {"side": "operator", "words": "taken", "author": "nobody"},
    "resolve_a_dispute": {"outcome": "upheld", "words": "taken", "author": "nobody"},
    "withdraw_a_dispute": {"author": "nobody"},
    "record_a_payment": {"amount": "1", "received_on": "2026-11-02", "reference": "taken"},
    "backtest_a_version": {"from": "2026-10-01T00:00:00Z", "to": "2026-11-01T00:00:00Z"},
    "publish_version": {
        "effective_from": "2026-12-01T00:00:00Z",
        "prices": [_PRICE],
    },
    "replace_draft": {"effective_from": "2026-12-01T00:00:00Z", "prices": [_PRICE]},
    "add_price": _PRICE,
    "replace_price": _PRICE,
}


@pytest.fixture(scope="module")
def both(keep: Keep[tuple[Provider, Provider]]) -> tuple[Provider, Provider]:
    return keep(
        lambda: (
            provider_in(make_tenant("first-host"), "ours"),
            provider_in(make_tenant("second-host"), "theirs"),
        )
    )


@pytest.fixture
def provider(both: tuple[Provider, Provider]) -> Provider:
    return deepcopy(both[0])


@pytest.fixture
def other_provider(both: tuple[Provider, Provider]) -> Provider:
    return deepcopy(both[1])


@pytest.fixture
def tenant(provider: Provider) -> Tenant:
    return provider.tenant


def ask(program: Program, name: str, ids: dict[str, Any]) -> Any:
    method, template = _OPERATIONS[name]
    path = template.format(**ids)
    if method == "get":
        return program.get(path)
    if method == "delete":
        return program.delete(path)
    send = {"patch": program.patch, "put": program.put, "post": program.post}[method]
    return send(path, BODIES.get(name))


def with_dispute(provider: Provider, name: str) -> dict[str, Any]:
    """What the paths ask for; a dispute needs an issued invoice, which other operations do not."""
    _, path = _OPERATIONS[name]
    if "{dispute_id}" not in path:
        return dict(provider.ids)
    return {**provider.ids, "dispute_id": disputed(provider).pk}


def test_every_operation_has_its_entry() -> None:
    assert set(API_OPERATIONS) == set(_OPERATIONS), "put them into tests/isolation_entries.py"


@pytest.mark.parametrize("name", _LISTS)
def test_a_list_names_nothing_of_another_tenant(
    name: str, provider: Provider, other_provider: Provider, program: Program
) -> None:
    answer = ask(program, name, {})
    done(answer)
    assert "theirs" not in answer.content.decode()


@pytest.mark.parametrize("name", _ONE)
def test_what_another_tenant_has_answers_as_if_it_did_not_exist(
    name: str, provider: Provider, other_provider: Provider, program: Program
) -> None:
    ids = with_dispute(other_provider, name)
    theirs = ask(program, name, ids)
    none = {each: uuid4() for each in ids}
    missing = ask(program, name, {**none, "form": ids["form"]})
    problem(theirs, 404)
    assert theirs.content == missing.content


@pytest.mark.parametrize("name", _ONE)
def test_what_another_customer_has_answers_as_if_it_did_not_exist(
    name: str, provider: Provider
) -> None:
    with tenant_scope(provider.tenant.pk):
        other = Customer.objects.create(name="Other", reference="other")
    own = program_of(provider.tenant, customer=other)
    seen = ask(own, name, with_dispute(provider, name))
    # A customer's own key has no scope that changes anything.
    (scope,) = _SCOPES[name]
    problem(seen, 404 if scope in CUSTOMER_SCOPES else 403)


@pytest.mark.parametrize("name", _LISTS)
def test_a_list_names_nothing_of_another_customer(name: str, provider: Provider) -> None:
    with tenant_scope(provider.tenant.pk):
        other = Customer.objects.create(name="Other", reference="other")
    answer = ask(program_of(provider.tenant, customer=other), name, {})
    assert "ours" not in answer.content.decode()
    assert answer.status_code in {200, 403}


def test_a_post_names_nothing_of_another_tenant(
    provider: Provider, other_provider: Provider, program: Program
) -> None:
    theirs = {name: str(value) for name, value in other_provider.ids.items()}
    application = str(other_provider.story.shop.pk)
    bodies: dict[str, dict[str, Any]] = {
        "/subscriptions": {
            "customer_id": theirs["customer_id"],
            "plan_id": str(provider.story.plan.pk),
            "starts_at": "2026-11-01T00:00:00Z",
        },
        "/credit-grants": {
            "customer_id": theirs["customer_id"],
            "kind": "paid",
            "currency": "EUR",
            "amount": "1",
        },
        "/wallets": {
            "customer_id": theirs["customer_id"],
            "currency": "EUR",
            "top_up_amount": "1",
        },
        "/budgets": {
            "customer_id": theirs["customer_id"],
            "name": "Taken",
            "limit": "1",
            "measure": "EUR",
        },
        "/webhook-endpoints": {
            "customer_id": theirs["customer_id"],
            "url": "https://taken.example/",
        },
        "/own-prices": {
            "customer_id": theirs["customer_id"],
            "code": provider.own_price.code,
            "currency": "EUR",
            "definition": {"unit_price": "1"},
            "starts_at": "2026-12-01T00:00:00Z",
        },
        "/discounts": {
            "subscription_id": theirs["subscription_id"],
            "name": "Taken",
            "percent": "100",
            "starts_at": "2026-12-01T00:00:00Z",
        },
        "/corrections": {
            "application_id": application,
            "starts_at": "2026-10-05T00:00:00Z",
            "ends_at": "2026-10-05T01:00:00Z",
            "reason": "taken",
            "author": "nobody",
        },
    }
    own = f"/applications/{provider.story.shop.pk}/assign"
    bodies[own] = {"customer_id": theirs["customer_id"]}
    for path, body in bodies.items():
        problem(program.post(path, body), 404)
    done(program.post("/customers", {"reference": "theirs", "name": "A"}), 201)
    done(program.post("/plans", {"name": "theirs plan", "currency": "EUR"}), 201)


def test_a_budget_is_of_nothing_of_another_tenant(
    provider: Provider, other_provider: Provider, program: Program
) -> None:
    body = {
        "customer_id": str(provider.story.customer.pk),
        "name": "Taken",
        "limit": "1",
        "measure": "EUR",
        "application_id": str(other_provider.story.shop.pk),
    }
    theirs = program.post("/budgets", body)
    missing = program.post("/budgets", body | {"application_id": str(uuid4())})
    problem(theirs, 422)
    assert theirs.content == missing.content


def test_a_rule_is_of_no_host_of_another_tenant(
    provider: Provider, other_provider: Provider, program: Program
) -> None:
    with tenant_scope(other_provider.tenant.pk):
        host = Host.objects.get()
    rule = {
        "meter": "cpu.time",
        "spread": "evenly",
        "host_id": str(host.pk),
        "starts_at": "2026-12-01T00:00:00Z",
        "author": "nobody",
    }
    problem(program.post("/allocation-rules", rule), 404)


def test_a_request_of_another_tenant_is_another_request(
    provider: Provider, other_provider: Provider
) -> None:
    body = {"reference": "pine", "name": "Pine"}
    for each in (provider, other_provider):
        answer = program_of(each.tenant).post("/customers", body, named="one")
        done(answer, 201)
        assert "Idempotency-Replayed" not in answer
        with tenant_scope(each.tenant.pk):
            assert IdempotencyRecord.objects.count() == 1
