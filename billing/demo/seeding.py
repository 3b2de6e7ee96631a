"""Puts the demo into the database. A tenant is seeded in one transaction: a run that is killed
leaves it out, and the next run puts it in. What is there already is left as it is."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from django.contrib.auth.hashers import make_password
from django.db import connection
from django.utils import timezone

from billing.core.proof.records import canonical
from billing.demo.scenery import (
    GENERATED_ENVIRONMENT,
    INSTALLATION_EMAIL,
    LIVE_ENVIRONMENT,
    TENANTS,
    DemoCustomer,
    DemoTenant,
    Load,
    prices_of,
)
from billing.demo.terms import agree, ask_minimum, correct_invoices, settle_terms
from billing.models import Plan
from billing.operations import (
    Offer,
    add_customer,
    close_due,
    finalize_invoice,
    publish_plan_version,
    subscribe,
)
from metering.core.buckets import BUCKET, bucket_of
from metering.models import Application, Assignment, Host, Instance, Measurement
from metering.sql import statement
from tenants.models import Customer, Environment, Member, Policy, Tenant, User
from tenants.scope import installation_scope, tenant_scope

GENERATED_DAYS: Final = 60
# How an agent would have measured applications that have a control group each.
_MEASURED: Final = {
    "cpu.time": ("exact", "cgroup-v2/1"),
    "memory.used": ("sampled", "cgroup-memory/1"),
    **dict.fromkeys(("processes", "threads"), ("sampled", "proc/1")),
    **dict.fromkeys(("files.open", "resources.open"), ("sampled", "proc-fd/1")),
    **dict.fromkeys(("resources.open.file", "resources.open.socket"), ("sampled", "proc-fd/1")),
    "launches": ("exact", "proc-connector/1"),
    **dict.fromkeys(("file.read", "file.written"), ("sampled", "proc-io/1")),
    **dict.fromkeys(("disk.read", "disk.written"), ("exact", "cgroup-io/1")),
}
_GENERATE_SAMPLES: Final = Path(__file__).with_name("generate_samples.sql").read_text()


@dataclass(frozen=True, slots=True)
class DemoUser:
    """Who may sign in; `tenant` is a slug, None for the installation's own administrator."""

    name: str
    role: str
    tenant: str | None


def seed_demo(password: str, *, as_of: datetime) -> list[DemoUser]:
    """Seed what is missing; returns everyone who can sign in, the live customer first.

    All users share `password`; users who exist keep theirs.
    """
    # One hash for all: hashing is slow on purpose, and they share the password anyway.
    encoded = make_password(password)
    for demo in TENANTS:
        with installation_scope():
            tenant, _ = Tenant.objects.get_or_create(
                slug=demo.slug,
                defaults={
                    "name": demo.name,
                    "currency": demo.currency,
                    "time_zone": demo.time_zone,
                },
            )
        with tenant_scope(tenant.pk):
            _seed_tenant(tenant, demo, encoded, as_of)
    _user(INSTALLATION_EMAIL, encoded, is_staff=True, is_superuser=True)
    return list(_users())


def _users() -> Iterator[DemoUser]:
    for demo in TENANTS:
        for customer in demo.customers:
            yield DemoUser(customer.email, "customer", demo.slug)
        for email, role in demo.staff:
            yield DemoUser(email, role.value, demo.slug)
    yield DemoUser(INSTALLATION_EMAIL, "installation", None)


def _seed_tenant(tenant: Tenant, demo: DemoTenant, encoded: str, as_of: datetime) -> None:
    _one_at_a_time(tenant)
    if Plan.objects.filter(name=demo.plans[0]).exists():
        return
    if demo.settled:
        settle_terms(_first_day(as_of))
    policy = Policy.objects.create(name="Standard")
    environment = _environments(demo, policy, as_of)
    plans = {name: _plan(name, demo.currency, as_of) for name in demo.plans}
    for email, role in demo.staff:
        Member.objects.create(user=_user(email, encoded, is_staff=True), role=role)
    for wanted in demo.customers:
        customer = _customer(wanted, demo, plans[wanted.plan], as_of)
        Member.objects.create(
            user=_user(wanted.email, encoded), role=Member.Role.OWNER, customer=customer
        )
        if wanted.loads:
            _generate_usage(customer, wanted.loads, environment, as_of)
        if wanted.reference == demo.live:
            Environment.objects.filter(name=LIVE_ENVIRONMENT).update(default_customer=customer)
    for draft in sorted(close_due(as_of=as_of), key=lambda draft: draft.period_start):
        finalize_invoice(draft, as_of=as_of)
    # Invoices have what was known when they were rated, by the clock: a correction comes later.
    correct_invoices(demo.customers, max(as_of, timezone.now()))


def _one_at_a_time(tenant: Tenant) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [f"seed {tenant.pk}"])


def _environments(demo: DemoTenant, policy: Policy, as_of: datetime) -> Environment:
    """The environment for generated hosts; the live one, where there is one, is the older."""
    if demo.live:
        Environment.objects.create(name=LIVE_ENVIRONMENT, policy=policy, created_at=as_of)
    return Environment.objects.create(
        name=GENERATED_ENVIRONMENT,
        policy=policy,
        generated=True,
        created_at=as_of + timedelta(microseconds=1),
    )


def _plan(name: str, currency: str, as_of: datetime) -> Plan:
    plan = Plan.objects.create(name=name, currency=currency)
    # Periods are rated by the version in effect when they begin, and the oldest began before
    # the first generated usage.
    effective_from = _first_day(as_of) - timedelta(days=31)
    ask_minimum(publish_plan_version(plan, Offer(prices_of(name), effective_from)))
    return plan


def _user(email: str, encoded: str, *, is_staff: bool = False, is_superuser: bool = False) -> User:
    user, _ = User.objects.get_or_create(
        email=email,
        defaults={"password": encoded, "is_staff": is_staff, "is_superuser": is_superuser},
    )
    return user


def _customer(wanted: DemoCustomer, demo: DemoTenant, plan: Plan, as_of: datetime) -> Customer:
    generated = bool(wanted.loads)
    fields = {
        "name": wanted.name,
        "reference": wanted.reference,
        "time_zone": demo.time_zone,
        "generated": generated,
    }
    customer = add_customer(fields, wanted.billing)
    first = _first_day(as_of) + timedelta(days=wanted.days)
    starts_at = first if generated else _month_start(as_of, demo.time_zone)
    subscribe(customer, plan, starts_at=starts_at)
    agree(customer, wanted, _first_day(as_of))
    return customer


def _first_day(as_of: datetime) -> datetime:
    midnight = as_of.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight - timedelta(days=GENERATED_DAYS)


def _month_start(as_of: datetime, time_zone: str) -> datetime:
    local = as_of.astimezone(ZoneInfo(time_zone))
    return local.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _generate_usage(
    customer: Customer, loads: Sequence[Load], environment: Environment, as_of: datetime
) -> None:
    start, end = _first_day(as_of), bucket_of(as_of)
    rows = [_load_row(load, customer, environment, start) for load in loads]
    with connection.cursor() as cursor:
        cursor.execute("SELECT metering_keep_partitions(430)")
        cursor.execute("SET LOCAL work_mem = '64MB'")
        cursor.execute(
            _GENERATE_SAMPLES,
            {
                "loads": json.dumps(rows),
                "start": start,
                "end": end,
                "measurement": _measurement().pk,
            },
        )
        # These tables have no statistics yet: a nested loop, which would be chosen for that,
        # compares every bucket with every sample.
        cursor.execute("SET LOCAL enable_nestloop = off")
        cursor.execute(
            statement("recompute_rollups"),
            _every_bucket(sorted({row["application"] for row in rows}), start, end),
        )
        cursor.execute("SET LOCAL enable_nestloop = on")
    Host.objects.filter(environment=environment).update(last_seen_at=end, last_window_end=end)


def _measurement() -> Measurement:
    """The profile of all generated samples."""
    body = {"meters": _MEASURED}
    digest = sha256(canonical(body)).digest()
    return Measurement.objects.get_or_create(digest=digest, defaults={"body": body})[0]


def _every_bucket(applications: Sequence[str], start: datetime, end: datetime) -> dict[str, Any]:
    """What metering's own roll-up is given for all buckets of [start, end), in one go."""
    buckets = [start + number * BUCKET for number in range((end - start) // BUCKET)]
    return {
        "applications": [application for _ in buckets for application in applications],
        "buckets": [bucket for bucket in buckets for _ in applications],
        "range_start": start,
        "range_end": end,
    }


def _load_row(
    load: Load, customer: Customer, environment: Environment, start: datetime
) -> dict[str, Any]:
    host, _ = Host.objects.get_or_create(
        name=load.host,
        environment=environment,
        defaults={"generated": True, "enrolled_at": start},
    )
    application, first = Application.objects.get_or_create(
        environment=environment,
        name=load.application,
        defaults={"generated": True, "first_seen_at": start},
    )
    if first:
        Assignment.objects.create(application=application, customer=customer, starts_at=start)
    instance = Instance.objects.create(
        application=application, host=host, name=load.host, first_seen_at=start
    )
    return {
        "key": f"{load.host} {load.application}",
        "host": str(host.pk),
        "application": str(application.pk),
        "instance": str(instance.pk),
    } | {name: value for name, value in asdict(load).items() if name not in {"host", "application"}}
