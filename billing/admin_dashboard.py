"""The admin's first page: cards with what asks for a look, each with the list that is behind it."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.utils import timezone

from billing.admin_guide import steps_of
from billing.amounts import written_amount
from billing.core.columns import HEIGHT, STEP, Column, columns
from billing.models import InvoiceReview
from billing.queries import dashboard as figures
from metering.health import (
    LAGS,
    SKEW_MAX_MS,
    AgentsHealth,
    RulesHealth,
    agents_health,
    faults,
    rules_health,
)
from tenants.admin_pages import ago, in_words
from tenants.models import Member, Tenant, User
from tenants.usage_models import TenantUsage

_TITLE = "Dashboard"
_VERSIONS_SHOWN = 4
_CURRENCIES_SHOWN = 3
_COVERED_ENOUGH_PPM = 990_000


@dataclass(frozen=True, slots=True)
class Plot:
    """Columns with what they are of."""

    title: str
    columns: list[Column]

    @property
    def width(self) -> int:
        return len(self.columns) * STEP

    @property
    def height(self) -> int:
        return HEIGHT


@dataclass(frozen=True, slots=True)
class Card:
    """A figure with its facts; `state` is good, look or bad and stands in words as well. `link`
    leads to the list behind it."""

    title: str
    figure: str
    state: str
    says: str
    link: tuple[str, str]
    facts: list[str] = field(default_factory=list)
    plot: Plot | None = None


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Unfold's callback: the cards that the person may see behind."""
    now = timezone.now()
    member = request.user.membership if isinstance(request.user, User) else None
    if member is None:
        cards = [_installation_card(now)] if request.user.is_superuser else []
        return context | {"title": _TITLE, "cards": cards}
    steps = steps_of(request)
    shown = not steps.is_complete and not steps.is_dismissed
    cards = _tenant_cards(request, member, now)
    return context | {"title": _TITLE, "cards": cards, "first_steps": steps if shown else None}


def _tenant_cards(request: HttpRequest, member: Member, now: datetime) -> list[Card]:
    zone = ZoneInfo(member.tenant.time_zone)
    bills = request.user.has_perm("billing.view_invoice")
    meters = request.user.has_perm("metering.view_host")
    cards = []
    if bills:
        cards += [
            _revenue(member.tenant.currency, now, zone),
            _invoices(),
            _run(),
            _late_usage(),
            _payments(now),
        ]
    if meters:
        cards += [_agents(now), _faults(now)]
    if request.user.has_perm("metering.view_policybreach"):
        cards.append(_policies(now))
    if request.user.has_perm("tenants.view_webhookdelivery"):
        cards.append(_webhooks(now))
    if request.user.has_perm("tenants.view_mailmessage"):
        cards.append(_mail(now))
    return cards


def _revenue(currency: str, now: datetime, zone: ZoneInfo) -> Card:
    found = figures.revenue(as_of=now, zone=zone)
    amounts = found.accrued[:_CURRENCIES_SHOWN]
    months = figures.issued_by_month(currency, as_of=now, zone=zone)
    facts = [
        f"{written_amount(each.month, each.currency)} this month, "
        f"{written_amount(each.today, each.currency)} of it today"
        for each in amounts
    ]
    if found.failures:
        facts.append(f"{found.failures} customers could not be counted")
    known = found.counted_at is not None
    first = amounts[0] if amounts else figures.Accrued(currency, Decimal(0), Decimal(0))
    return Card(
        title="Accrued this month",
        figure=written_amount(first.month, first.currency) if known else "Not counted yet",
        state="look" if found.failures else "good",
        says=f"counted {_age(found, now)}" if known else "counted within ten minutes",
        link=("Invoices", reverse("admin:billing_invoice_changelist")),
        facts=facts,
        plot=Plot(
            f"Issued each month, in {currency}",
            columns(
                [
                    (f"{month:%b}", amount, f"{month:%B %Y}: {written_amount(amount, currency)}")
                    for month, amount in months
                ]
            ),
        ),
    )


def _age(found: figures.Revenue, now: datetime) -> str:
    return ago(found.counted_at, now)


def _invoices() -> Card:
    documents, owed = figures.documents(), figures.open_amounts()
    by = documents.by_severity
    alarming, look = by.get(3, 0), by.get(2, 0)
    unseen = documents.drafts - sum(by.values())
    labels = InvoiceReview.Severity
    facts = [f"{count} {labels(level).label}" for level, count in sorted(by.items(), reverse=True)]
    facts += [f"{unseen} not looked through yet"] if unseen > 0 else []
    facts += [f"{written_amount(amount, currency)} to be paid" for currency, amount in owed]
    facts.append(f"{documents.overdue} overdue")
    state = "bad" if alarming else "look" if look or documents.overdue else "good"
    return Card(
        title="Drafts",
        figure=f"{documents.drafts:,}",
        state=state,
        says={
            "bad": f"{alarming} alarming",
            "look": "some to look at",
            "good": "nothing unusual",
        }[state],
        link=(
            "Drafts, the unusual first",
            f"{reverse('admin:billing_invoice_changelist')}?waits=drafts&o=8",
        ),
        facts=facts,
    )


def _run() -> Card:
    run = figures.newest_run()
    link = ("Billing runs", reverse("admin:billing_billingrun_changelist"))
    if run is None:
        return Card("Invoice run", "None yet", "good", "begins when a period has ended", link)
    percent = 100 * run.done // run.shards if run.shards else 100
    return Card(
        title="Invoice run",
        figure=f"{percent}%",
        state="good",
        says="finished" if run.is_over else "at work",
        link=link,
        facts=[f"of what was due at {timezone.localtime(run.as_of):%Y-%m-%d %H:%M}"],
    )


def _late_usage() -> Card:
    waiting, refused = figures.late_usage()
    return Card(
        title="Late usage",
        figure=f"{waiting:,}",
        state="look" if refused else "good",
        says="refused some" if refused else "billed by itself" if waiting else "none waits",
        link=("Late usage", reverse("admin:billing_lateusage_changelist")),
        facts=[f"{refused:,} came too late and are refused"],
    )


def _payments(now: datetime) -> Card:
    found = figures.payments(as_of=now)
    state = "bad" if found.in_doubt or found.unhandled else "look" if found.failed else "good"
    return Card(
        title="Payments in doubt",
        figure=f"{found.in_doubt:,}",
        state=state,
        says={
            "bad": "looked up before anything is tried again",
            "look": "some failed",
            "good": "every outcome is known",
        }[state],
        link=(
            "Attempts in doubt",
            f"{reverse('admin:billing_paymentattempt_changelist')}?state__exact=unknown",
        ),
        facts=[
            f"{found.waiting:,} wait for the customer's confirmation",
            f"{found.failed:,} failed in the last 7 days",
            f"{found.unhandled:,} events of the processor could not be handled",
        ],
    )


def _agents(now: datetime) -> Card:
    health = agents_health(as_of=now)
    state = "bad" if health.silent else "look" if health.skewed or health.complaining else "good"
    says = {
        "bad": f"{health.silent} silent",
        "look": "some to look at",
        "good": "all deliver" if health.hosts else "no host yet",
    }[state]
    rows = zip(LAGS, health.lags, strict=True)
    return Card(
        title="Hosts in service",
        figure=f"{health.hosts:,}",
        state=state,
        says=says,
        link=("Hosts", reverse("admin:metering_host_changelist")),
        facts=_agents_facts(health),
        plot=Plot(
            "Hosts by how far their usage is behind",
            columns(
                [
                    (words, Decimal(count), f"up to {words}: {count}" if up_to.days < 1 else
                     f"{words}, or nothing yet: {count}")
                    for (up_to, words), count in rows
                ]
            ),
        ),
    )  # fmt: skip


def _agents_facts(health: AgentsHealth) -> list[str]:
    versions = [
        f"{count} on agent {version}" for version, count in health.versions[:_VERSIONS_SHOWN]
    ]
    more = len(health.versions) - _VERSIONS_SHOWN
    return [
        f"clocks: {health.skewed} off by more than {SKEW_MAX_MS // 1000} s, at most "
        f"{health.skew_max_ms} ms",
        *versions,
        *([f"{more} other versions"] if more > 0 else []),
        f"{health.complaining} say that not all they were told could be done",
    ]


def _faults(now: datetime) -> Card:
    found = faults(as_of=now)
    covered = found.covered_ppm
    gaps = covered is not None and covered < _COVERED_ENOUGH_PPM
    state = "bad" if found.allocation_failures else "look" if gaps else "good"
    measured = "no usage" if covered is None else f"{Decimal(covered) / 10_000:.2f}% measured"
    return Card(
        title="Metering",
        figure=measured,
        state=state,
        says={"bad": "something failed", "look": "gaps", "good": "of the last day"}[state],
        link=("Applications", reverse("admin:metering_application_changelist")),
        facts=[
            f"{found.allocation_failures:,} hours whose idle usage could not be spread",
            f"{found.waiting_buckets:,} buckets wait for their roll-up",
        ],
    )


def _policies(now: datetime) -> Card:
    found = rules_health(as_of=now)
    outdated = found.outdated_hosts + found.outdated_environments
    state = "bad" if outdated else "look" if found.breaches else "good"
    return Card(
        title="Policies",
        figure=f"{found.breaches:,} over a limit",
        state=state,
        says={"bad": "some is too old", "look": "now", "good": "all holds"}[state],
        link=_policies_link(found),
        facts=[
            f"{found.outdated_hosts:,} agents are too old by now",
            f"{found.outdated_environments:,} environments are too old by now",
        ],
    )


def _policies_link(found: RulesHealth) -> tuple[str, str]:
    """To what is worst."""
    if found.outdated_hosts:
        hosts = reverse("admin:metering_host_changelist")
        return "Agents that are too old", f"{hosts}?noticed=outdated"
    if found.outdated_environments:
        return "Environments", reverse("admin:tenants_environment_changelist")
    limits = reverse("admin:metering_policybreach_changelist")
    return "Limits that are passed", f"{limits}?standing__exact=1"


def _mail(now: datetime) -> Card:
    failed, retried = figures.mail(as_of=now)
    return Card(
        title="E-mail",
        figure=f"{failed:,} not sent",
        state="bad" if failed else "look" if retried else "good",
        says="in the last 7 days",
        link=(
            "E-mails that were not sent",
            f"{reverse('admin:tenants_mailmessage_changelist')}?state__exact=failed",
        ),
        facts=[f"{retried:,} are being tried again"],
    )


def _webhooks(now: datetime) -> Card:
    failed, retried = figures.webhook_deliveries(as_of=now)
    failing, disabled = figures.webhook_endpoints()
    return Card(
        title="Webhooks",
        figure=f"{failed:,} given up",
        state="bad" if failed else "look" if retried or failing or disabled else "good",
        says="in the last 7 days",
        link=(
            "Deliveries that failed",
            f"{reverse('admin:tenants_webhookdelivery_changelist')}?state__exact=failed",
        ),
        facts=[
            f"{retried:,} are being tried again",
            f"{failing:,} endpoints fail, {disabled:,} are disabled",
        ],
    )


def _installation_card(now: datetime) -> Card:
    """Of all tenants together: the newest figures of each."""
    newest = TenantUsage.objects.order_by("tenant_id", "-day").distinct("tenant_id")
    rows = list(newest)
    late = sum(each.late_hosts for each in rows)
    suspended = Tenant.objects.filter(suspended_at__isnull=False).count()
    rate = sum(each.samples_per_minute for each in rows) // 60
    oldest = min((each.counted_at for each in rows), default=None)
    counted = [
        f"{sum(each.hosts for each in rows):,} hosts, {late:,} late",
        f"{rate:,} samples a second",
        f"about {filesizeformat(sum(each.storage_bytes for each in rows))} of samples",
        f"{sum(each.open_jobs for each in rows):,} open billing jobs",
    ]
    return Card(
        title="Tenants",
        figure=f"{Tenant.objects.count():,}",
        state="look" if late or suspended else "good",
        says=(
            "their hosts and usage are counted within ten minutes"
            if oldest is None
            else f"counted {in_words(now - oldest)} ago"
        ),
        link=("Tenants", reverse("admin:tenants_tenant_changelist")),
        facts=[*(counted if rows else []), f"{suspended:,} suspended"],
    )
