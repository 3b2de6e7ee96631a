"""What is proven of an invoice is what it was rated by, whatever arrives while it is finalized."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Event
from uuid import uuid4

import pytest
from django.db import connection
from django.utils import timezone

from billing.models import Invoice, PlanVersion
from billing.operations import finalize_invoice, restate_invoice
from metering.rollups import roll_up
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.billing.proving import MEASURED, Proven, deliver, drafted, prove, said_of, usage_from
from tests.locks import another_waits
from tests.metering.delivering import batch

pytestmark = pytest.mark.django_db(transaction=True)


def finalized(proven: Proven) -> Invoice:
    with tenant_scope(proven.tenant.pk):
        draft = Invoice.objects.get(pk=proven.invoice.pk)
        return finalize_invoice(draft, as_of=timezone.now())


def deliver_late(proven: Proven, minutes: int = 2) -> None:
    """Usage of the period, stored and not rolled up yet."""
    start = proven.first + timedelta(minutes=minutes)
    document = batch(*usage_from(start, 40), epoch=str(uuid4()), measurements=MEASURED)
    assert deliver(proven.agent, document).status_code == 200


def in_another_connection(pool: ThreadPoolExecutor, work: Callable[[], object]) -> Future[object]:
    def run() -> object:
        try:
            return work()
        finally:
            connection.close()

    return pool.submit(run)


def await_waiting() -> None:
    """Until another connection waits for a lock."""
    while not another_waits():
        pass


class TestUsageThatArrivesMeanwhile:
    def test_is_proven_where_it_was_rated(self, tenant: Tenant, tmp_path: Path) -> None:
        """A run began, and goes on to later invoices while usage is rolled up."""
        proven = drafted(tenant)
        began = timezone.now()
        proven.deliver_more(proven.first + timedelta(minutes=2))
        with tenant_scope(tenant.pk):
            finalize_invoice(Invoice.objects.get(pk=proven.invoice.pk), as_of=began)
        code, said = said_of(proven.bundle(samples=proven.hour()), tmp_path)
        assert (code, said[-1]) == (0, "PASS"), said[-1]
        assert "batches  4, signed by 1 host  ok" in said

    def test_and_was_committed_later_is_left_to_a_note(
        self, tenant: Tenant, tmp_path: Path
    ) -> None:
        """A batch is received before the invoice is finalized, and its transaction ends after."""
        proven = drafted(tenant)
        stored, issued = Event(), Event()

        def deliver_slowly() -> None:
            with tenant_scope(tenant.pk):
                deliver_late(proven)
                stored.set()
                assert issued.wait(30)

        with ThreadPoolExecutor(1) as pool:
            delivery = in_another_connection(pool, deliver_slowly)
            assert stored.wait(30)
            finalized(proven)
            issued.set()
            delivery.result(30)
        roll_up(tenant.pk)
        code, said = said_of(proven.bundle(samples=proven.hour()), tmp_path)
        assert (code, said[-1]) == (0, "PASS"), said[-1]
        assert "batches  3, signed by 1 host  ok" in said
        with tenant_scope(tenant.pk):
            note = restate_invoice(Invoice.objects.get(pk=proven.invoice.pk), as_of=timezone.now())
        assert note is not None
        code, said = said_of(proven.bundle_of(note, samples=proven.hour()), tmp_path)
        assert (code, said[-1]) == (0, "PASS"), said[-1]
        assert "batches  4, signed by 1 host  ok" in said

    def test_and_is_rolled_up_between_two_looks_at_usage_is_rated_and_proven(
        self, tenant: Tenant, tmp_path: Path
    ) -> None:
        proven = drafted(tenant)
        with ThreadPoolExecutor(1) as pool:
            with tenant_scope(tenant.pk):
                # Finalizing holds the plan's versions, and so waits here.
                list(PlanVersion.objects.select_for_update())
                finalizing = in_another_connection(pool, lambda: finalized(proven))
                await_waiting()
                with ThreadPoolExecutor(1) as others:
                    in_another_connection(
                        others, lambda: proven.deliver_more(proven.first + timedelta(minutes=2))
                    ).result(30)
            finalizing.result(30)
        code, said = said_of(proven.bundle(samples=proven.hour()), tmp_path)
        assert (code, said[-1]) == (0, "PASS"), said[-1]
        assert "batches  4, signed by 1 host  ok" in said
        with tenant_scope(tenant.pk):
            assert Invoice.objects.get(pk=proven.invoice.pk).late_usage.count() == 0

    def test_of_a_note_is_left_to_the_next_note(self, tenant: Tenant, tmp_path: Path) -> None:
        proven = prove(tenant)
        proven.deliver_more(proven.first + timedelta(minutes=2))
        stored, issued = Event(), Event()

        def deliver_slowly() -> None:
            with tenant_scope(tenant.pk):
                deliver_late(proven, minutes=65)
                stored.set()
                assert issued.wait(30)

        with ThreadPoolExecutor(1) as pool:
            delivery = in_another_connection(pool, deliver_slowly)
            assert stored.wait(30)
            with tenant_scope(tenant.pk):
                invoice = Invoice.objects.get(pk=proven.invoice.pk)
                note = restate_invoice(invoice, as_of=timezone.now())
            issued.set()
            delivery.result(30)
        roll_up(tenant.pk)
        assert note is not None
        code, said = said_of(proven.bundle_of(note, samples=proven.hour()), tmp_path)
        assert (code, said[-1]) == (0, "PASS"), said[-1]
        assert "batches  4, signed by 1 host  ok" in said
