"""Hosts that customers run themselves: in the environments that are their own, and in no others.

Whether a person of the customer may do what is asked is the caller's to decide; that it is done to
the customer's own hosts alone is decided here. What is another's raises as what does not exist.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.db import transaction
from django.db.models import Max
from django.db.models.functions import Least
from hostmeter_agent.wire import BUCKET_SECONDS

from metering.core.buckets import bucket_of
from metering.enrolment import require_room
from metering.host_keys import lock_hosts
from metering.host_state import host_status, key_state
from metering.models import Host, HostKey
from metering.rollup_models import Rollup
from tenants.models import Customer, EnrolmentToken, Environment
from tenants.operations import issued_enrolment_token

COVERED_OVER: Final = timedelta(days=1)
TOKENS_OPEN_MAX: Final = 20
_PPM: Final = 1_000_000
_BUCKET_US: Final = BUCKET_SECONDS * 1_000_000


class NotTheirs(Exception):
    """There is no such environment, token, host or key of this customer."""


class TooManyTokens(Exception):
    """TOKENS_OPEN_MAX of the customer's tokens can still be used."""

    def __init__(self) -> None:
        super().__init__(
            f"{TOKENS_OPEN_MAX} of your tokens wait for a host already; use or revoke one, or "
            "wait for an hour"
        )


@dataclass(frozen=True, slots=True)
class CustomerHostKey:
    """`name` is the part of the key's id by which people tell keys apart; `state` as key_state."""

    id: UUID
    name: str
    state: str
    created_at: datetime
    age: timedelta
    expires_at: datetime | None

    @property
    def may_be_revoked(self) -> bool:
        return self.state in {"valid", "not used yet", "expiring"}


@dataclass(frozen=True, slots=True)
class CustomerHost:
    """One host of a customer's own environment.

    status: as host_state.host_status says. lag: how far its known usage is behind; None before its
    first batch. covered_ppm: how much of its last day, or of its life where that is shorter, was
    measured, in millionths; None before its first full bucket.
    """

    id: UUID
    name: str
    environment_id: UUID
    environment: str
    status: str
    enrolled_at: datetime
    last_seen_at: datetime | None
    complete_to: datetime | None
    lag: timedelta | None
    covered_ppm: int | None
    keys: tuple[CustomerHostKey, ...]

    @property
    def key_age(self) -> timedelta | None:
        """Of the newest key that it may sign with; None where it has none."""
        return min((key.age for key in self.keys if key.may_be_revoked), default=None)


def customer_environments(customer: Customer) -> list[Environment]:
    """Those that the customer runs, by name; retired ones are left out."""
    return list(Environment.objects.filter(owner_customer=customer, retired_at__isnull=True))


def issue_customer_token(
    customer: Customer, environment_id: UUID, *, as_of: datetime
) -> tuple[EnrolmentToken, str]:
    """A fresh token for one host of the customer's own environment, and the secret, which is shown
    once and stored hashed. Raises NotTheirs, TooManyTokens and enrolment.NoRoom."""
    with transaction.atomic():
        # Whoever asks at the same time waits, so that neither limit is passed by two at once.
        own = Environment.objects.select_for_update(no_key=True).filter(owner_customer=customer)
        environment = own.filter(pk=environment_id, retired_at__isnull=True).first()
        if environment is None:
            raise NotTheirs("there is no such environment")
        if len(open_customer_tokens(customer, as_of=as_of)) >= TOKENS_OPEN_MAX:
            raise TooManyTokens
        require_room(environment)
        return issued_enrolment_token(environment, as_of=as_of)


def open_customer_tokens(customer: Customer, *, as_of: datetime) -> list[EnrolmentToken]:
    """Those that a host can still enrol with, the newest first."""
    return list(
        EnrolmentToken.objects.select_related("environment").filter(
            environment__owner_customer=customer,
            used_at__isnull=True,
            revoked_at__isnull=True,
            expires_at__gt=as_of,
        )
    )


def customer_token(customer: Customer, token_id: UUID) -> EnrolmentToken:
    """One of the customer's, also one that is used up. Raises NotTheirs."""
    own = EnrolmentToken.objects.filter(environment__owner_customer=customer, pk=token_id)
    token = own.select_related("environment").first()
    if token is None:
        raise NotTheirs("there is no such token")
    return token


def revoke_customer_token(customer: Customer, token_id: UUID, *, as_of: datetime) -> None:
    """Nobody enrols with the token any more; one that is spent stays as it is. Raises NotTheirs."""
    tokens = EnrolmentToken.objects.filter(pk=token_id, environment__owner_customer=customer)
    if not tokens.exists():
        raise NotTheirs("there is no such token")
    EnrolmentToken.objects.filter(
        pk=token_id, used_at__isnull=True, revoked_at__isnull=True
    ).update(revoked_at=as_of)


def customer_hosts(customer: Customer, as_of: datetime) -> list[CustomerHost]:
    """The hosts of the customer's own environments by name, retired ones last. In three queries,
    however many there are."""
    rows = Host.objects.filter(environment__owner_customer=customer)
    hosts = list(
        rows.select_related("environment__policy").prefetch_related("keys").order_by("name", "pk")
    )
    covered = _covered_us(hosts, as_of)
    shown = [_shown(host, covered, as_of) for host in hosts]
    return sorted(shown, key=lambda host: host.status == "retired")


def customer_host(customer: Customer, host_id: UUID, as_of: datetime) -> CustomerHost:
    """One of customer_hosts(). Raises NotTheirs."""
    rows = Host.objects.filter(environment__owner_customer=customer, pk=host_id)
    host = rows.select_related("environment__policy").prefetch_related("keys").first()
    if host is None:
        raise NotTheirs("there is no such host")
    return _shown(host, _covered_us([host], as_of), as_of)


def revoke_host_key(customer: Customer, host_id: UUID, key_id: UUID, *, as_of: datetime) -> bool:
    """Within a minute nothing is taken that is signed with the key. False where it was revoked
    before: that stays as it is. `key_id` is CustomerHostKey.id. Raises NotTheirs."""
    with transaction.atomic():
        lock_hosts([host_id])
        keys = HostKey.objects.filter(
            pk=key_id, host_id=host_id, host__environment__owner_customer=customer
        )
        if not keys.exists():
            raise NotTheirs("there is no such key")
        valid = HostKey.objects.filter(pk=key_id, revoked_at__isnull=True)
        return valid.update(revoked_at=as_of) > 0


def _covered_us(hosts: Sequence[Host], as_of: datetime) -> dict[UUID, int]:
    """How much of the last day was measured of anything on each host: in each bucket by what was
    measured the longest."""
    end = bucket_of(as_of)
    longest = (
        Rollup.objects.filter(
            instance__host__in=hosts,
            application__environment__in={host.environment_id for host in hosts},
            bucket_start__gte=end - COVERED_OVER,
            bucket_start__lt=end,
        )
        .order_by()
        .values("instance__host", "bucket_start")
        .annotate(covered=Least(Max("covered_us"), _BUCKET_US))
    )
    totals: dict[UUID, int] = {}
    for row in longest:
        host_id = row["instance__host"]
        totals[host_id] = totals.get(host_id, 0) + int(row["covered"])
    return totals


def _shown(host: Host, covered: Mapping[UUID, int], as_of: datetime) -> CustomerHost:
    keys = sorted(host.keys.all(), key=lambda key: key.created_at, reverse=True)
    return CustomerHost(
        id=host.pk,
        name=host.name,
        environment_id=host.environment_id,
        environment=host.environment.name,
        status=host_status(host, as_of),
        enrolled_at=host.enrolled_at,
        last_seen_at=host.last_seen_at,
        complete_to=host.last_window_end,
        lag=host.lag(as_of),
        covered_ppm=_covered_ppm(host, covered.get(host.pk, 0), as_of),
        keys=tuple(_keys_shown(keys, as_of)),
    )


def _covered_ppm(host: Host, covered_us: int, as_of: datetime) -> int | None:
    end = bucket_of(as_of)
    begun = max(end - COVERED_OVER, host.enrolled_at)
    if end <= begun:
        return None
    return min(covered_us * _PPM // ((end - begun) // timedelta.resolution), _PPM)


def _keys_shown(keys: Iterable[HostKey], as_of: datetime) -> Iterable[CustomerHostKey]:
    for key in keys:
        yield CustomerHostKey(
            id=key.pk,
            # Before the dot stands the tenant, in all of them.
            name=key.key_id.rpartition(".")[2],
            state=key_state(key, as_of),
            created_at=key.created_at,
            age=as_of - key.created_at,
            expires_at=key.expires_at,
        )
