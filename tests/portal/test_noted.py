"""What people do with a customer's money and data stands in its audit log."""

from datetime import date
from typing import Any

from django.test import Client
from django.urls import reverse
from django.utils import timezone

from tenants.access_models import AuditEntry
from tenants.models import Member
from tenants.operations import issue_api_key
from tenants.scope import tenant_scope
from tests.portal.test_billing_details import FORM
from tests.portal.test_budgets import filled_in, only, send
from tests.portal.test_documents import address, month_address
from tests.portal.world import World, make_person, visit

EMAIL = "ada@first.example"


def noted(world: World, action: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Who, what and how, of the world's customer."""
    with tenant_scope(world.tenant.pk):
        entries = AuditEntry.objects.filter(action=action, customer=world.customer)
        return [
            (each.actor, each.subject, each.details) for each in entries.order_by("occurred_at")
        ]


def owner_of(world: World) -> Client:
    browser = Client()
    browser.force_login(make_person(EMAIL, world.tenant, Member.Role.OWNER, world.customer))
    return browser


def test_budgets_and_billing_details(world: World) -> None:
    owner = owner_of(world)
    send(owner, "new-budget", filled_in())
    budget = only(world)
    send(owner, "edit-budget", filled_in(limit="250.50"), budget.pk)
    # Saved once more as it is, it is no change.
    send(owner, "edit-budget", filled_in(limit="250.50"), budget.pk)
    with tenant_scope(world.tenant.pk):
        key = issue_api_key("robot", ["budgets:write"], as_of=timezone.now())
    answer = Client().delete(
        f"/api/v1/budgets/{budget.pk}", headers={"Authorization": f"Bearer {key}"}
    )
    assert answer.status_code == 204
    assert [(who, what, said["change"], said["limit"]) for who, what, said in
            noted(world, "budget_changed")] == [
        (EMAIL, "Hosting", "set", "200"),
        (EMAIL, "Hosting", "changed", "250.5"),
        ("API key robot", "Hosting", "removed", "250.5"),
    ]  # fmt: skip
    owner.post("/billing/", FORM)
    ((who, _, said),) = noted(world, "billing_details_changed")
    assert who == EMAIL
    assert {"city", "legal_name", "vat_id"} <= set(said["changed"])
    assert "Am Weg 1" not in str(said)
    page = owner.get(reverse("portal:audit-log")).content.decode()
    assert page.count("Changed a budget") >= 3


def test_downloads(world: World) -> None:
    owner = owner_of(world)
    document = owner.get(address(world.invoice, "pdf"))
    # The browser's own copy is shown again: nothing was taken away.
    owner.get(address(world.invoice, "pdf"), headers={"If-None-Match": document["ETag"]})
    owner.get(address(world.invoice, "cii"))
    month = date.fromisoformat(month_address(world.invoice).split("/")[-2] + "-01")
    assert b"".join(owner.get(month_address(world.invoice)))
    proof = owner.get(reverse("portal:invoice-proof-bundle", args=[world.invoice.pk]))
    assert b"".join(proof)
    assert b"".join(
        owner.get(reverse("portal:usage-focus"), {"from": str(month), "to": str(month)})
    )
    reference = world.invoice.reference
    expected = [
        f"{reference}.pdf", f"focus-{month:%Y-%m}.csv", f"proof-{reference}.zip",
        f"focus-cpu.time-{month}-{month}.csv",
    ]  # fmt: skip
    assert [(who, what) for who, what, _ in noted(world, "export_downloaded")] == [
        (EMAIL, each) for each in expected
    ]
    # Staff who look as the customer are named, with what they look by.
    staff = Client()
    staff.force_login(make_person("staff@first.example", world.tenant, Member.Role.OPERATOR))
    visit(staff, world.customer).get(address(world.invoice, "csv"))
    with tenant_scope(world.tenant.pk):
        entry = AuditEntry.objects.filter(action="export_downloaded").latest("occurred_at")
    assert (entry.actor, entry.impersonation_id is not None) == ("staff@first.example", True)
