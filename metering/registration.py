"""Applications and instances that usage names for the first time. Inside a tenant's scope, and in
the order of their names, so that those who register at once never deadlock."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from metering.assignments import assign_new_applications
from metering.models import Application, Instance

# An environment's id and an application's name.
ApplicationKey = tuple[UUID, str]
# An application's id and an instance's name.
InstanceKey = tuple[UUID, str]


def application_ids(
    keys: Collection[ApplicationKey], *, seen_at: datetime, used_from: datetime
) -> dict[ApplicationKey, UUID]:
    """The applications' ids. New ones are billed as their environment says, from the bucket
    `used_from` on."""
    wanted = [
        Application(environment_id=environment_id, name=name, first_seen_at=seen_at)
        for environment_id, name in sorted(keys)
    ]
    Application.objects.bulk_create(wanted, ignore_conflicts=True)
    rows = Application.objects.filter(
        environment_id__in={key[0] for key in keys}, name__in={key[1] for key in keys}
    ).values_list("environment_id", "name", "id")
    found = {(environment_id, name): pk for environment_id, name, pk in rows}
    # Those that were there before kept their own ids.
    assign_new_applications(
        {application.pk for application in wanted} & set(found.values()), starts_at=used_from
    )
    return found


def instance_ids(
    keys: Collection[InstanceKey], host_id: UUID | None, *, seen_at: datetime
) -> dict[InstanceKey, UUID]:
    """The ids of a host's instances, or of those without a host."""
    Instance.objects.bulk_create(
        [
            Instance(
                application_id=application_id, host_id=host_id, name=name, first_seen_at=seen_at
            )
            for application_id, name in sorted(keys)
        ],
        ignore_conflicts=True,
    )
    known = Instance.objects.filter(application_id__in={key[0] for key in keys})
    # With a host it is found by the host; `host_id=None` would find nothing.
    of_host = known.filter(host__isnull=True) if host_id is None else known.filter(host_id=host_id)
    rows = of_host.values_list("application_id", "name", "id")
    return {(application_id, name): pk for application_id, name, pk in rows}
