"""What the demo holds."""

import io
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db.models import Count, Sum
from django.utils import timezone

from billing.demo import seeding
from billing.demo.scenery import LIVE_ENVIRONMENT
from billing.models import Invoice, InvoiceLine, Price
from billing.proof.bundle import export_proof
from billing.queries import upcoming_invoice
from metering.models import DirtyBucket, Host, Sample, SampleBatch
from metering.queries import samples_of
from metering.rollup_models import Rollup
from tenants.models import Environment
from tenants.scope import tenant_scope
from tests.billing.test_seeding import PASSWORD, tenants
from tests.conftest import Keep
from tests.verify.running import run, verifier_in

pytestmark = pytest.mark.django_db


def _seed() -> datetime:
    """In fewer days: 40 cross a month's end as 60 do."""
    as_of = timezone.now()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seeding, "GENERATED_DAYS", 40)
        seeding.seed_demo(PASSWORD, as_of=as_of)
    return as_of


@pytest.fixture(autouse=True, scope="module")
def seeded(keep: Keep[datetime]) -> datetime:
    """When the demo was made, once for all of them."""
    return keep(_seed)


def test_usage_says_how_it_was_measured() -> None:
    with tenant_scope(tenants()["second"]):
        lines = [line for invoice in Invoice.objects.all() for line in invoice.lines.all()]
        told = {measured.quality for line in lines for measured in line.provenance.measured}
        assert told == {"exact", "sampled"}


def test_makes_bundles_in_which_nothing_differs(tmp_path: Path) -> None:
    """Its generated hosts sign nothing, which the verifier says; all else is recomputed."""
    bundle = tmp_path / "bundle.zip"
    with tenant_scope(tenants()["demo"]), bundle.open("wb") as file:
        export_proof(Invoice.objects.get(kind="invoice", number=1), file, as_of=timezone.now())
    said = run(verifier_in(tmp_path), "verify", bundle).stdout
    assert "FAIL" not in said
    assert "\nCPU time  storefront  " in said
    assert "NOT VERIFIED" in said


def test_shows_terms_whose_ledger_reconciles() -> None:
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


def test_makes_invoices_and_a_preview_that_open_down_to_samples(seeded: datetime) -> None:
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
        upcoming = upcoming_invoice(invoice.customer, as_of=seeded)
        assert upcoming is not None


def test_bills_samples_to_the_last_unit() -> None:
    with tenant_scope(tenants()["second"]):
        sampled = Sample.objects.aggregate(
            rows=Count("batch_index"), cpu=Sum("cpu_time"), memory=Sum("memory_used")
        )
        rolled = Rollup.objects.aggregate(
            rows=Sum("samples"), cpu=Sum("cpu_time"), memory=Sum("memory_used")
        )
        assert sampled == {name: int(total) for name, total in rolled.items()}
        assert sum(SampleBatch.objects.values_list("samples", flat=True)) == sampled["rows"]


def test_marks_what_is_generated_and_bills_this_machine_for_real() -> None:
    with tenant_scope(tenants()["demo"]):
        assert all(
            host.generated and host.name.startswith("generated-") for host in Host.objects.all()
        )
        live = Environment.objects.order_by("created_at")[0]
        assert (live.name, live.generated) == (LIVE_ENVIRONMENT, False)
        assert live.default_customer is not None
        assert live.default_customer.reference == "this-machine"
        assert not live.default_customer.generated
