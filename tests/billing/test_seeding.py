"""The demo: there after one run, the same after two, whole after a run that was killed."""

import io
import json
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.core.management import CommandError, call_command
from django.db.models import Count, Sum
from django.utils import timezone

from billing.demo import seeding
from billing.demo.scenery import LIVE_ENVIRONMENT
from billing.models import Invoice, InvoiceLine, Plan, Price
from billing.operations import finalize_invoice
from billing.proof.bundle import export_proof
from billing.queries import upcoming_invoice
from metering.models import DirtyBucket, Host, Sample, SampleBatch
from metering.queries import samples_of
from metering.rollup_models import Rollup
from tenants.models import Customer, Environment, Member, Tenant, User
from tenants.scope import installation_scope, tenant_scope
from tests.verify.running import run, verifier_in

PASSWORD = "a generated one"


def tenants() -> dict[str, UUID]:
    with installation_scope():
        return dict(Tenant.objects.values_list("slug", "pk"))


def figures() -> dict[str, tuple[int, ...]]:
    """How much of everything each tenant has."""
    counted = {}
    for slug, tenant_id in tenants().items():
        with tenant_scope(tenant_id):
            models = (Customer, Plan, Host, SampleBatch, Sample, Rollup, Invoice, Member)
            counted[slug] = tuple(model._default_manager.count() for model in models)
    return counted


@pytest.fixture(autouse=True)
def _fewer_days(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same, in less time: 40 days cross a month's end as 60 do."""
    monkeypatch.setattr(seeding, "GENERATED_DAYS", 40)


@pytest.mark.django_db
class TestSeeding:
    def test_twice_adds_nothing(self) -> None:
        as_of = timezone.now()
        seeding.seed_demo(PASSWORD, as_of=as_of)
        before = figures()
        seeding.seed_demo("another password", as_of=as_of + timedelta(hours=1))
        assert figures() == before
        assert set(before) == {"demo", "second"}
        assert User.objects.get(email="owner@demo.example").check_password(PASSWORD)

    def test_usage_says_how_it_was_measured(self) -> None:
        seeding.seed_demo(PASSWORD, as_of=timezone.now())
        with tenant_scope(tenants()["second"]):
            lines = [line for invoice in Invoice.objects.all() for line in invoice.lines.all()]
            told = {measured.quality for line in lines for measured in line.provenance.measured}
            assert told == {"exact", "sampled"}

    def test_makes_bundles_in_which_nothing_differs(self, tmp_path: Path) -> None:
        """Its generated hosts sign nothing, which the verifier says; all else is recomputed."""
        seeding.seed_demo(PASSWORD, as_of=timezone.now())
        bundle = tmp_path / "bundle.zip"
        with tenant_scope(tenants()["demo"]), bundle.open("wb") as file:
            export_proof(Invoice.objects.get(kind="invoice", number=1), file, as_of=timezone.now())
        said = run(verifier_in(tmp_path), "verify", bundle).stdout
        assert "FAIL" not in said
        assert "\nCPU time  storefront  " in said
        assert "NOT VERIFIED" in said

    def test_shows_terms_whose_ledger_reconciles(self) -> None:
        as_of = timezone.now()
        seeding.seed_demo(PASSWORD, as_of=as_of)
        out = io.StringIO()
        call_command("reconcile_ledger", stdout=out)
        assert out.getvalue().count("no difference") == 2
        with tenant_scope(tenants()["demo"]):
            note = Invoice.objects.get(kind="credit_note")
            lines = {(line.kind, line.label) for line in InvoiceLine.objects.all()}
            reverse = Invoice.objects.filter(buyer_details__country="AT").latest("period_end")
            taxes = [(tax.category, tax.tax) for tax in reverse.taxes.all()]
            bought = {price.kind for price in Price.objects.all()}
        assert {"graduated", "matrix", "package", "per_unit"} <= bought
        assert ("discount", "Demo welcome discount: CPU time") in lines
        assert note.reason == "Correction of usage: Demo: a load test of ours"
        assert taxes == [("AE", Decimal(0))]
        assert reverse.credit_applied > 0

    def test_completes_a_run_that_was_killed_in_the_second_tenant(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        as_of = timezone.now()
        finalize, calls = finalize_invoice, []

        def dying(*args: Any, **options: Any) -> Invoice:
            calls.append(args)
            with_number = finalize(*args, **options)
            if with_number.currency == "USD":
                raise KeyboardInterrupt
            return with_number

        monkeypatch.setattr(seeding, "finalize_invoice", dying)
        with pytest.raises(KeyboardInterrupt):
            seeding.seed_demo(PASSWORD, as_of=as_of)
        assert calls
        assert figures()["second"] == (0,) * 8
        monkeypatch.undo()
        monkeypatch.setattr(seeding, "GENERATED_DAYS", 40)
        seeding.seed_demo(PASSWORD, as_of=as_of)
        assert all(min(counts) > 0 for counts in figures().values())

    def test_makes_invoices_and_a_preview_that_open_down_to_samples(self) -> None:
        as_of = timezone.now()
        seeding.seed_demo(PASSWORD, as_of=as_of)
        with tenant_scope(tenants()["demo"]):
            assert not DirtyBucket.objects.exists()
            invoice = Invoice.objects.filter(kind="invoice").order_by("period_start").first()
            assert invoice is not None
            assert (invoice.status, invoice.number) == (Invoice.Status.FINALIZED, 1)
            line = invoice.lines.order_by("-amount")[0]
            assert sum(each.amount for each in invoice.lines.all()) == invoice.total > 0
            bucket = invoice.period_start + timedelta(hours=12)
            assert line.application_id is not None
            assert samples_of(line.application_id, bucket)
            upcoming = upcoming_invoice(invoice.customer, as_of=as_of)
            assert upcoming is not None

    def test_bills_samples_to_the_last_unit(self) -> None:
        seeding.seed_demo(PASSWORD, as_of=timezone.now())
        with tenant_scope(tenants()["second"]):
            sampled = Sample.objects.aggregate(
                rows=Count("batch_index"), cpu=Sum("cpu_time"), memory=Sum("memory_used")
            )
            rolled = Rollup.objects.aggregate(
                rows=Sum("samples"), cpu=Sum("cpu_time"), memory=Sum("memory_used")
            )
            assert sampled == {name: int(total) for name, total in rolled.items()}
            assert sum(SampleBatch.objects.values_list("samples", flat=True)) == sampled["rows"]

    def test_marks_what_is_generated_and_bills_this_machine_for_real(self) -> None:
        seeding.seed_demo(PASSWORD, as_of=timezone.now())
        with tenant_scope(tenants()["demo"]):
            assert all(
                host.generated and host.name.startswith("generated-") for host in Host.objects.all()
            )
            live = Environment.objects.order_by("created_at")[0]
            assert (live.name, live.generated) == (LIVE_ENVIRONMENT, False)
            assert live.default_customer is not None
            assert live.default_customer.reference == "this-machine"
            assert not live.default_customer.generated


@pytest.mark.django_db(databases=["default", "owner"])
class TestTheCommand:
    def test_ends_with_who_can_sign_in(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOSTMETER_DEMO_PASSWORD", PASSWORD)
        out = io.StringIO()
        call_command("seed_demo", "--json", stdout=out)
        told = json.loads(out.getvalue().splitlines()[-1])
        assert (told["tenant"], told["environment"]) == ("demo", "this-machine")
        assert told["users"][0] == {
            "name": "customer@demo.example",
            "role": "customer",
            "tenant": "demo",
        }
        emails = set(User.objects.values_list("email", flat=True))
        assert {user["name"] for user in told["users"]} == emails

    def test_needs_a_password(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOSTMETER_DEMO_PASSWORD", "short")
        with pytest.raises(CommandError, match="HOSTMETER_DEMO_PASSWORD"):
            call_command("seed_demo")
