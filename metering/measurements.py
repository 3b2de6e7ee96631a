"""How usage was measured, as billing and the portal ask for it: profiles, which of them a price
refuses, and which stand behind an application's usage. Every query runs inside a tenant's scope."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from uuid import UUID

from django.db import connection

from metering.core.quality import (
    NOT_STATED,
    Measured,
    Profile,
    in_order,
    profile_of,
    refused_qualities,
)
from metering.models import Measurement
from metering.sql import statement


@dataclass(frozen=True, slots=True)
class Wanted:
    """Usage of one meter that was measured in one of these qualities, or in none that is stated."""

    meter: str
    accepts: frozenset[str]


def refused_profiles(wanted: Collection[Wanted]) -> dict[Wanted, frozenset[UUID]]:
    """The profiles whose usage of the meter is not what is wanted; for each that has any."""
    every = list(wanted)
    with connection.cursor() as cursor:
        cursor.execute(
            statement("profiles_naming"),
            {
                "meters": [each.meter for each in every],
                "qualities": [_array(refused_qualities(each.accepts)) for each in every],
            },
        )
        return {every[number - 1]: frozenset(ids) for number, ids in cursor.fetchall()}


def _array(qualities: Collection[str]) -> str:
    return f"{{{','.join(sorted(qualities))}}}"


def profiles(ids: Collection[UUID | None]) -> dict[UUID, Profile]:
    """The stored profiles with these ids."""
    wanted = [each for each in ids if each is not None]
    if not wanted:
        return {}
    rows = Measurement.objects.filter(pk__in=wanted).values_list("pk", "body")
    return {pk: profile_of(body) for pk, body in rows}


def measured_by(
    ids: Collection[UUID | None], known: Mapping[UUID, Profile], meter: str
) -> tuple[Measured, ...]:
    """What those of the `known` profiles that have these ids say of the meter, the best first;
    nothing is stated of it where none does."""
    named = (NOT_STATED if each is None else known[each].of(meter) for each in ids)
    return in_order(each for each in named if each is not None) or (NOT_STATED,)
