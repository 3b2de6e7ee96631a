"""`bench portal`: how long each page takes of a customer with many applications and invoices."""

import gc
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from typing import Final
from zoneinfo import ZoneInfo

import django
from django.conf import settings
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from billing.bench.month import Month, make_month, settle, usage_of
from billing.closing import close_tenant, finalize_drafts
from billing.core.periods import Period
from billing.models import BillingSettings, Invoice, InvoiceLine, Price
from metering.bench.together import BenchFailed
from metering.local_days import keep_local_days
from metering.models import Application, Assignment, Measurement
from portal.kept import forget_month, keep_month
from tenants.models import Customer, Member, User
from tenants.scope import tenant_scope

# Of the earlier months: what is asked of them does not depend on how much they hold.
_APPLICATIONS_BEFORE: Final = 50
_HOUR: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class PageFigures:
    """Server time of one page, in milliseconds, and how many queries it asks."""

    name: str
    median_ms: float
    p95_ms: float
    queries: int


def measure_pages(
    owned: int, months: int, views: int, time_zone: str, progress: Callable[[str], None]
) -> list[PageFigures]:
    """Runs inside scratch_database(); the slowest page first. The customer moves to `time_zone`
    after the invoices were made. Raises BenchFailed where a page does not open."""
    month = _make_customer(owned, months, progress)
    with tenant_scope(month.tenant_id):
        customer = Customer.objects.get()
        customer.time_zone = time_zone
        customer.save(update_fields=["time_zone"])
    progress("keeping the days of its zone")
    keep_local_days(month.tenant_id, as_of=timezone.now())
    settle()
    with tenant_scope(month.tenant_id):
        progress("counting the running month")
        keep_month(customer, as_of=timezone.now())
        reader = _session(_person("reader@bench.example", customer))
        staff = _session(_person("staff@bench.example", None))
        pages = [(reader, name, url) for name, url in _addresses(customer)]
    pages.append((staff, "admin dashboard", reverse("admin:index")))
    try:
        figures = _viewed(pages, views, progress)
    finally:
        with tenant_scope(month.tenant_id):
            forget_month(customer)
    return sorted(figures, key=lambda page: -page.p95_ms)


def _viewed(
    pages: Sequence[tuple[str, str, str]], views: int, progress: Callable[[str], None]
) -> list[PageFigures]:
    """In a process of its own, as a web worker is: what made the rows has memory that no worker
    has, and the usage explorer took a third longer there."""
    figures = []
    with ProcessPoolExecutor(1, get_context("spawn"), initializer=django.setup) as viewer:
        for session, name, url in pages:
            figures.append(viewer.submit(view, session, name, url, views).result())
            progress(f"{name}: {figures[-1].p95_ms} ms")
    return figures


def _make_customer(owned: int, months: int, progress: Callable[[str], None]) -> Month:
    """One customer: usage in each hour of this month and the last, and an invoice of each month."""
    now = timezone.now().replace(minute=0, second=0, microsecond=0)
    this = datetime(now.year, now.month, 1, tzinfo=UTC)
    starts = [_months_before(this, number) for number in range(months, -1, -1)]
    progress(f"making usage of {owned} applications in two months")
    month = make_month(
        1, progress, applications=owned, begun=starts[0], used=Period(starts[-2], now)
    )
    with tenant_scope(month.tenant_id):
        BillingSettings.objects.create(legal_name="Bench", country="DE")
        applications = list(Application.objects.order_by("name").values_list("pk", flat=True))
        measurement = Measurement.objects.get()
        for start in starts[:-2]:
            used = Period(start, start + _HOUR)
            usage_of(applications[:_APPLICATIONS_BEFORE], measurement, used)
    progress(f"invoicing {months} months")
    closed = close_tenant(month.tenant_id, as_of=now)
    issued = finalize_drafts(month.tenant_id, as_of=now, also_incomplete=True)
    if closed.failures or issued.failures or len(issued.invoices) != months:
        raise BenchFailed(f"invoices: {[*closed.failures, *issued.failures][:1]}")
    settle()
    return month


def _months_before(first: datetime, number: int) -> datetime:
    years, month = divmod(first.month - 1 - number, 12)
    return first.replace(year=first.year + years, month=month + 1)


def _person(email: str, customer: Customer | None) -> User:
    person = User.objects.create_user(email, is_staff=customer is None)
    Member.objects.create(user=person, role=Member.Role.OWNER, customer=customer)
    return person


def _session(person: User) -> str:
    """The key of a session of theirs."""
    client = Client()
    client.force_login(person, "django.contrib.auth.backends.ModelBackend")
    return client.cookies[settings.SESSION_COOKIE_NAME].value


def _addresses(customer: Customer) -> Iterator[tuple[str, str]]:
    """(name, address) of the pages that could grow with applications or invoices."""
    for name in (
        "overview", "applications", "usage", "invoices", "upcoming-invoice", "budgets", "billing",
        "hosts", "webhooks", "team", "keys", "audit-log",
    ):  # fmt: skip
        yield name, reverse(f"portal:{name}")
    today = timezone.now().astimezone(ZoneInfo(customer.time_zone)).date()
    asked = f"?bucket=day&from={today.replace(day=1)}&to={today}&meter=memory.used"
    for group in ("application", "environment"):
        yield f"usage by {group}", f"{reverse('portal:usage')}{asked}&group={group}"
    compared = f"{asked}&compare=previous"
    yield "usage compared", f"{reverse('portal:usage')}{compared}"
    application = Assignment.objects.order_by("application__name").first()
    price = Price.objects.order_by("position").first()
    if application is None or price is None:
        raise BenchFailed("there is no application")
    yield "application", reverse("portal:application", args=[application.application_id])
    one = f"{reverse('portal:usage')}{asked}&application={application.application_id}"
    yield "usage of one application", f"{one}&group=instance"
    line = [price.pk, application.application_id]
    yield "upcoming line", reverse("portal:upcoming-line", args=line)
    invoice = Invoice.objects.order_by("-period_start")[0]
    yield "invoice", reverse("portal:invoice", args=[invoice.pk])
    stored = InvoiceLine.objects.filter(invoice=invoice).order_by("position")[0]
    yield "invoice line", reverse("portal:invoice-line", args=[invoice.pk, stored.pk])
    yield "dispute a line", reverse("portal:line-dispute", args=[invoice.pk, stored.pk])
    yield "proof", reverse("portal:invoice-proof", args=[invoice.pk])


def view(session: str, name: str, url: str, views: int) -> PageFigures:
    """Open a page again and again. Raises BenchFailed."""
    client = Client(SERVER_NAME="127.0.0.1")
    client.cookies[settings.SESSION_COOKIE_NAME] = session
    with CaptureQueriesContext(connection) as asked:
        answer = client.get(url, secure=settings.SECURE_SSL_REDIRECT)
    # Before the next request: it begins the list anew.
    queries = len(asked.captured_queries)
    if answer.status_code != 200:
        raise BenchFailed(f"{name}: {url} answers {answer.status_code}")
    # As the web's workers do: a collection that looks through all of Django takes 0.15 s.
    gc.collect()
    gc.freeze()
    seconds = []
    for _ in range(views):
        began = time.perf_counter()
        client.get(url, secure=settings.SECURE_SSL_REDIRECT)
        seconds.append(time.perf_counter() - began)
    ordered = sorted(seconds)
    p95 = round(ordered[math.ceil(len(ordered) * 0.95) - 1] * 1_000, 1)
    median = round(statistics.median(ordered) * 1_000, 1)
    return PageFigures(name, median, p95, queries)
