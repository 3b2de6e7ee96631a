"""What the explorer's rows are called. Every query runs inside a tenant's scope."""

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from django.utils.translation import gettext

from metering.models import Application, Host, Instance
from metering.one_of import OneOf
from metering.usage_points import Key
from tenants.models import Environment


@dataclass(frozen=True, slots=True)
class Named:
    name: str
    generated: bool = False


def names_of(key: Key, ids: Collection[UUID | None]) -> dict[UUID | None, Named]:
    """Of rows of usage that the reader may see: whoever sees usage is told where it was measured
    (docs/decisions/0034-hosts-that-customers-see.md). What events and corrections state is on no
    host."""
    own = OneOf("pk", [each for each in ids if each is not None])
    found: dict[UUID | None, Named] = {None: Named(gettext("no host"))}
    if key == "host":
        hosts = Host.objects.filter(own).values_list("pk", "name", "generated")
        return found | {pk: Named(name, generated) for pk, name, generated in hosts}
    if key == "instance":
        rows = Instance.objects.filter(own).values_list("pk", "name", "host__name")
        return found | {pk: Named(_on(name, host)) for pk, name, host in rows}
    if key == "environment":
        places = Environment.objects.filter(own).values_list("pk", "name")
        return found | {pk: Named(name) for pk, name in places}
    programs = Application.objects.filter(own).values_list("pk", "name", "generated")
    return found | {pk: Named(name, generated) for pk, name, generated in programs}


def _on(instance: str, host: str | None) -> str:
    if host is None or host == instance:
        return instance
    return gettext("%(instance)s on %(host)s") % {"instance": instance, "host": host}
