"""Whom an application is billed to that nobody has assigned yet."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from metering.models import Application, Assignment


def assign_new_applications(application_ids: Collection[UUID], *, starts_at: datetime) -> None:
    """Bill applications that were just registered to their environment's default customer, from
    the bucket `starts_at` on. Where the environment names none they stay unassigned."""
    new = Application.objects.filter(
        pk__in=application_ids, environment__default_customer__isnull=False
    ).values_list("pk", "environment__default_customer")
    Assignment.objects.bulk_create(
        Assignment(application_id=application_id, customer_id=customer_id, starts_at=starts_at)
        for application_id, customer_id in new
    )
