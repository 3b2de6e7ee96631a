"""Asking for an export of everything; billing.tenant_exports makes it."""

from functools import partial
from typing import Final
from uuid import UUID

from celery import current_app
from django.db import IntegrityError, transaction

from tenants.export_models import TenantExport
from tenants.scope import tenant_scope

# The task that does it, which stands above this module.
MAKE_EXPORT: Final = "billing.tasks.make_export"


class ExportUnderWay(Exception):
    """The tenant has an export that is still being made."""


def ask_for_export(tenant_id: UUID, asked_by: str) -> TenantExport:
    """Have a worker make one; from inside the tenant or from the installation's scope. Raises
    ExportUnderWay."""
    with tenant_scope(tenant_id):
        try:
            with transaction.atomic():
                export = TenantExport.objects.create(asked_by=asked_by)
        except IntegrityError as error:
            raise ExportUnderWay("an export is being made already; wait for it") from error
        sent = partial(current_app.send_task, MAKE_EXPORT, [str(tenant_id), str(export.pk)])
        transaction.on_commit(sent)
    return export
