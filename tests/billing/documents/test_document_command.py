"""`invoice_document` writes a file or says in one line why not."""

import io
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from billing.models import BillingDetails, BillingSettings
from billing.operations import close_due, finalize_invoice
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.billing.timeline import HOUR_US, NOVEMBER, at, begin_story, use


@pytest.fixture
def reference(tenant: Tenant) -> str:
    with tenant_scope(tenant.pk):
        story = begin_story()
        use(story.shop, at(10, 3), cpu_us=100 * HOUR_US)
        (draft,) = close_due(as_of=NOVEMBER)
        return finalize_invoice(draft, as_of=NOVEMBER).reference


def run(reference: str, form: str, output: Path, tenant: str = "first-host") -> str:
    out = io.StringIO()
    call_command("invoice_document", reference, tenant=tenant, form=form, output=output, stdout=out)
    return out.getvalue()


class TestTheCommand:
    def test_writes_the_file(self, reference: str, tmp_path: Path) -> None:
        path = tmp_path / "invoice.pdf"
        assert str(path) in run(reference, "pdf", path)
        assert path.read_bytes().startswith(b"%PDF")

    def test_says_what_an_electronic_invoice_misses(self, reference: str, tmp_path: Path) -> None:
        with pytest.raises(CommandError, match="the seller has no country") as refused:
            run(reference, "cii", tmp_path / "x.xml")
        assert "\n" not in str(refused.value)
        assert not (tmp_path / "x.xml").exists()

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"tenant": "nobody"}, "no tenant 'nobody'; there are: first-host"),
            ({"reference": "INV-99"}, "first-host has issued no invoice 'INV-99'"),
            ({"output": Path("/nowhere/x.pdf")}, "cannot write /nowhere/x.pdf: No such file"),
        ],
    )
    def test_says_what_is_wrong_in_one_line(
        self, reference: str, tmp_path: Path, changes: dict[str, str], reason: str
    ) -> None:
        arguments = {"reference": reference, "form": "csv", "output": tmp_path / "x.csv"}
        with pytest.raises(CommandError, match=reason) as refused:
            run(**(arguments | changes))  # type: ignore[arg-type]
        assert "\n" not in str(refused.value)

    def test_finds_no_other_tenants_invoice(
        self, reference: str, other_tenant: Tenant, tmp_path: Path
    ) -> None:
        with pytest.raises(CommandError, match="second-host has issued no invoice"):
            run(reference, "csv", tmp_path / "x.csv", tenant=other_tenant.slug)


def test_settings_and_details_make_an_electronic_invoice(tenant: Tenant, tmp_path: Path) -> None:
    with tenant_scope(tenant.pk):
        story = begin_story()
        BillingSettings.objects.create(legal_name="First Host", country="DE", tax_number="1/2/3")
        BillingDetails.objects.create(customer=story.customer, country="DE")
        use(story.shop, at(10, 3), cpu_us=100 * HOUR_US)
        (draft,) = close_due(as_of=NOVEMBER)
        issued = finalize_invoice(draft, as_of=NOVEMBER)
    if issued.due_at is None:
        pytest.fail("a finalized invoice says when it is due")
    run(issued.reference, "cii", tmp_path / "invoice.xml")
    assert b"CrossIndustryInvoice" in (tmp_path / "invoice.xml").read_bytes()
