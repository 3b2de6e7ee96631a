"""Hosts leave service and come back. Their usage and their names stay."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import F

from metering.host_keys import lock_hosts, revoke_keys
from metering.host_limit import require_tenants_room
from metering.models import Host, HostKey


@transaction.atomic
def retire_hosts(hosts: Collection[UUID], *, as_of: datetime) -> int:
    """Take hosts out of service: their keys are revoked, so what they still send is refused, and
    nobody waits for it. How many were in service until now."""
    lock_hosts(hosts)
    in_service = Host.objects.filter(pk__in=hosts, retired_at__isnull=True)
    chosen = list(in_service.values_list("pk", flat=True))
    revoke_keys(chosen, as_of=as_of)
    return Host.objects.filter(pk__in=chosen).update(retired_at=as_of)


@transaction.atomic
def bring_back_hosts(hosts: Collection[UUID]) -> int:
    """Put hosts into service again, with the keys that retiring revoked: what their agents have
    kept meanwhile is then taken. A key that was revoked for itself stays so. How many came back.

    Raises Problem 403 where the tenant may not have so many in service."""
    lock_hosts(hosts)
    retired = Host.objects.filter(pk__in=hosts, retired_at__isnull=False)
    chosen = list(retired.values_list("pk", flat=True))
    if chosen:
        require_tenants_room(len(chosen))
    HostKey.objects.filter(host__in=chosen, revoked_at=F("host__retired_at")).update(
        revoked_at=None
    )
    return Host.objects.filter(pk__in=chosen).update(retired_at=None)
