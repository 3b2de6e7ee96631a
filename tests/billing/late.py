"""Batches that arrive after their period was invoiced, and corrections of what was measured."""

from datetime import datetime, timedelta
from hashlib import sha256
from uuid import UUID, uuid4

from django.db.models import Func, Value

from billing.models import Invoice, LateUsage
from metering.core.buckets import bucket_of
from metering.models import Application, DirtyBucket, Host, Instance, Sample, SampleBatch
from metering.rollups import roll_up
from tenants.scope import current_tenant_id


def deliver(app: Application, when: datetime, *, cpu_us: int, received_at: datetime) -> SampleBatch:
    """A batch with one sample, stored as ingest does and rolled up; what it changes of invoiced
    periods becomes known at `received_at`."""
    host, _ = Host.objects.get_or_create(name="web-1", environment=app.environment)
    instance, _ = Instance.objects.get_or_create(application=app, host=host, name="1")
    batch = SampleBatch.objects.create(
        host=host, epoch=UUID(int=1), sequence=SampleBatch.objects.count() + 1,
        digest=sha256(uuid4().bytes).digest(), samples=1, key_id="k", signature_input="",
        signature="", content_digest="", sent_at=received_at, received_at=received_at,
    )  # fmt: skip
    Sample.objects.create(
        tenant_id=current_tenant_id(), batch=batch, batch_index=0, application=app,
        instance=instance, role="primary", window_start=when,
        window_end=when + timedelta(seconds=10), coverage_ppm=1_000_000, cpu_time=cpu_us,
    )  # fmt: skip
    DirtyBucket.objects.create(
        tenant_id=current_tenant_id(), application_id=app.pk, bucket_start=bucket_of(when)
    )
    if Invoice.objects.filter(finalized_at__isnull=False).exists():
        _store_in_a_later_transaction(batch)
    known = set(LateUsage.objects.values_list("pk", flat=True))
    roll_up(current_tenant_id())
    LateUsage.objects.exclude(pk__in=known).update(noted_at=received_at)
    return batch


def _store_in_a_later_transaction(batch: SampleBatch) -> None:
    """Than those of invoices that are issued already: in a test all may be one."""
    later = Func(Value(str(2**60 + batch.sequence)), template="%(expressions)s::xid8")
    SampleBatch.objects.filter(pk=batch.pk).update(stored_in=later)


def note_at(moment: datetime) -> None:
    """Say that what is noted as late became known then: the database's clock is the real one."""
    LateUsage.objects.filter(refused_at__isnull=True).update(noted_at=moment)


def stored(invoice: Invoice) -> tuple[object, ...]:
    """All that an issued invoice is made of, to the last digit."""
    fields = [
        field.attname
        for field in Invoice._meta.concrete_fields
        if field.name not in {"status", "sent_at", "amount_paid", "amount_credited"}
    ]
    own = Invoice.objects.values_list(*fields).get(pk=invoice.pk)
    lines = list(invoice.lines.order_by("position").values_list())
    return own, lines, list(invoice.taxes.order_by("category", "percent").values_list())
