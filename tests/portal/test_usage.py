"""The usage explorer: how much, when, of what; from all usage down to samples."""

import csv
import io
import re
from datetime import date, datetime, timedelta
from decimal import Decimal
from urllib.parse import urlencode
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from lxml import html

from billing.models import InvoiceLine
from metering.models import Assignment, Host, Instance
from portal import usage_costs
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.billing.documents.focus_rules import broken_focus_rules
from tests.portal.test_documents import sent
from tests.portal.world import ZONE, World, make_person

pytestmark = pytest.mark.django_db


def first_day(world: World) -> date:
    """Of the running month, which has usage from 9 o'clock on; the 5 minutes of `as_of` too."""
    return world.as_of.astimezone(ZoneInfo(ZONE)).date().replace(day=1)


def page(client: Client, **question: object) -> html.HtmlElement:
    asked = {name.rstrip("_"): str(value) for name, value in question.items()}
    response = client.get(reverse("portal:usage"), asked)
    assert response.status_code == 200
    return html.fromstring(response.content)


def cells(shown: html.HtmlElement, heading: str) -> list[list[str]]:
    table = shown.xpath(f"//section[@aria-labelledby='{heading}']//tbody/tr")
    return [[" ".join(cell.text_content().split()) for cell in row] for row in table]


def names(shown: html.HtmlElement) -> list[str]:
    """Of the groups, as their first words say; how they were measured stands below."""
    rows = shown.xpath("//section[@aria-labelledby='groups']//tbody/tr/th")
    return [next(text.strip() for text in each.itertext() if text.strip()) for each in rows]


def address_of(shown: html.HtmlElement, name: str) -> str:
    (link,) = shown.xpath(f"//section//a[normalize-space()='{name}']/@href")
    return str(link)


class TestTheExplorer:
    def test_shows_the_running_month_by_application(self, reader: Client, world: World) -> None:
        shown = page(reader)
        assert names(shown) == ["postgres", "newsletter"] or names(shown) == [
            "newsletter", "postgres",
        ]  # fmt: skip
        assert shown.xpath("//svg")
        assert "checkout" not in shown.text_content()

    def test_leads_down_to_the_samples(self, reader: Client, world: World) -> None:
        day = first_day(world)
        shown = page(reader, from_=day, to=day, group="environment")
        steps = ["production", "postgres", "postgres.service on web-1"]
        for name in steps:
            answer = reader.get(reverse("portal:usage") + address_of(shown, name))
            shown = html.fromstring(answer.content)
        assert names(shown) == ["web-1"]
        crumbs = shown.xpath("//nav[@class='crumbs']//li")
        assert [each.text_content().strip() for each in crumbs][1:] == steps

    def test_goes_from_a_day_to_its_hours_its_minutes_and_their_samples(
        self, reader: Client, world: World
    ) -> None:
        day = first_day(world)
        shown = page(reader, from_=day, to=day, application=world.application.pk)
        for _ in ("hour", "5m"):
            row = shown.xpath("//details//tbody//th/a/@href")[0]
            shown = html.fromstring(reader.get(reverse("portal:usage") + row).content)
        address = shown.xpath("//details//tbody//th/a/@href")[0]
        samples = html.fromstring(reader.get(address).content)
        assert len(cells(samples, "samples")) == 30
        assert cells(samples, "instances")[0][:2] == ["postgres.service", "web-1"]

    def test_compares_with_the_month_before(self, reader: Client, world: World) -> None:
        day = first_day(world)
        shown = page(reader, from_=day, to=day, compare="month")
        assert "Then" in shown.text_content()
        marks = shown.xpath("//svg[@class='wide']//line[@class='earlier']")
        assert len(marks) == 1

    def test_draws_what_nobody_measured_as_a_gap(self, reader: Client, world: World) -> None:
        day = world.invoice.period_start.astimezone(ZoneInfo(ZONE)).date()
        shown = page(reader, from_=day, to=day + timedelta(days=4))
        assert len(shown.xpath("//svg[@class='wide']//rect[@class='gap']")) == 3
        told = [row[1] for row in cells(shown, "over-time")]
        assert told.count("not measured") == 3

    def test_shows_every_meter_of_what_is_chosen(self, reader: Client, world: World) -> None:
        shown = page(reader, group="meter")
        assert names(shown) == ["cpu.time", "memory.used", "memory.used.max"]

    def test_says_that_a_meter_has_no_price(self, reader: Client, world: World) -> None:
        assert "no price in your plan" in page(reader, meter="threads").text_content()
        assert "no price in your plan" not in page(reader, meter="cpu.time").text_content()

    @pytest.mark.parametrize(
        ("question", "words"),
        [
            ({"from": "2026-01-31", "to": "2026-01-01"}, "before the first day"),
            ({"from": "2026-01-01", "to": "2026-01-20", "bucket": "hour"}, "at most 14 days"),
            ({"from": "2026-01-01", "to": "2026-01-20", "group": "host"}, "at most 2 days"),
            ({"from": "1926-01-01", "to": "1926-01-02"}, "last ten years"),
            ({"from": "soon"}, "valid date"),
            ({"meter": "nonsense"}, "nonsense"),
            ({"compare": "custom"}, "from when on"),
            ({"application": "nonsense"}, "UUID"),
        ],
    )
    def test_says_what_is_wrong_with_a_question(
        self, reader: Client, world: World, question: dict[str, str], words: str
    ) -> None:
        answer = reader.get(reverse("portal:usage"), question)
        assert answer.status_code == 200
        assert words in answer.content.decode()
        assert reader.get(reverse("portal:usage-file"), question).status_code == 400

    def test_says_so_once_beside_the_field_or_in_place_of_the_answer(
        self, reader: Client, world: World
    ) -> None:
        asked = reverse("portal:usage"), {"compare": "custom"}
        whole = reader.get(*asked).content.decode()
        assert whole.count("Say from when on.") == 1
        assert "until what is marked above" in whole
        # Only the answer is taken from this one; the fields stay as they are.
        part = reader.get(*asked, headers={"HX-Request": "true"}).content.decode()
        assert "Say from when on." in part.split('id="answer"')[1]

    def test_counts_the_time_alone_in_which_an_application_was_theirs(
        self, reader: Client, world: World
    ) -> None:
        with tenant_scope(world.tenant.pk):
            morning = datetime.combine(
                first_day(world), datetime.min.time().replace(hour=8), ZoneInfo(ZONE)
            )
            Assignment.objects.filter(application=world.application).update(ends_at=morning)
        day = first_day(world)
        shown = page(reader, from_=day, to=day)
        assert "postgres" not in names(shown)
        # However it is grouped; page() holds that it opens.
        for group in ("environment", "instance", "host", "meter"):
            assert names(page(reader, from_=day, to=day, group=group))


class TestWhatIsNotTheirs:
    @pytest.mark.parametrize("name", ["application", "instance"])
    def test_answers_as_if_it_did_not_exist(self, reader: Client, world: World, name: str) -> None:
        with tenant_scope(world.tenant.pk):
            instance = Instance.objects.get(application=world.other_application)
        theirs = {"application": world.other_application.pk, "instance": instance.pk}[name]
        answers = [
            reader.get(reverse(route), {name: str(wanted), "from": str(first_day(world)),
                                        "to": str(first_day(world))})
            for route in ("portal:usage", "portal:usage-file", "portal:usage-focus")
            for wanted in (theirs, uuid4())
        ]  # fmt: skip
        assert {each.status_code for each in answers} == {404}
        assert len({each.content for each in answers}) == 1


class TestTheFile:
    def test_has_what_the_page_shows(self, reader: Client, world: World) -> None:
        day = first_day(world)
        question = {"from": str(day), "to": str(day), "bucket": "hour", "group": "application"}
        answer = reader.get(reverse("portal:usage-file"), question)
        lines = b"".join(answer.streaming_content).decode().splitlines()  # type: ignore[attr-defined]
        assert lines[0] == "from,meter,unit,quantity,group,id,name,quality,method"
        postgres = [line.split(",") for line in lines[1:] if "postgres" in line]
        assert postgres[0][1:3] == ["cpu.time", "µs"]
        assert postgres[0][4:] == [
            "application", str(world.application.pk), "postgres", "not_stated", "",
        ]  # fmt: skip
        assert re.fullmatch(r"[0-9]+", postgres[0][3])
        assert not [line for line in lines if "checkout" in line]


def invoiced_days(world: World) -> dict[str, str]:
    """Of the one invoiced period."""
    zone = ZoneInfo(ZONE)
    last = world.invoice.period_end - timedelta(minutes=5)
    first = world.invoice.period_start
    return {each: str(moment.astimezone(zone).date()) for each, moment in
            (("from", first), ("to", last))}  # fmt: skip


def charged(client: Client, version: str = "1.3", **question: str) -> list[dict[str, str]]:
    asked = urlencode({**question, "version": version})
    text = sent(client, f"{reverse('portal:usage-focus')}?{asked}")
    return list(csv.DictReader(io.StringIO(text, newline="")))


class TestWhatItCost:
    def test_has_the_shown_charges_as_they_were_invoiced(
        self, reader: Client, world: World
    ) -> None:
        days = invoiced_days(world)
        with tenant_scope(world.tenant.pk):
            cpu = InvoiceLine.objects.filter(invoice=world.invoice, meter="cpu.time")
            own = {str(each.application_id): each.amount for each in cpu}
            lines = InvoiceLine.objects.filter(invoice=world.invoice).count()
        for version in ("1.3", "1.4"):
            rows = charged(reader, version, **days)
            assert broken_focus_rules(rows, version) == []
            assert {each["ResourceId"]: Decimal(each["BilledCost"]) for each in rows} == own
            assert {each["SkuMeter"] for each in rows} == {"cpu.time"}
        assert len(charged(reader, **days, group="meter")) == lines > len(own)
        (row,) = charged(reader, **days, application=str(world.application.pk))
        assert row["ResourceName"] == "postgres"
        production = str(world.application.environment_id)
        assert charged(reader, **days, environment=production, group="environment") == charged(
            reader, **days
        )

    def test_leaves_out_what_is_no_whole_invoiced_period_and_says_so(
        self, reader: Client, world: World
    ) -> None:
        days = invoiced_days(world)
        shown = page(reader, from_=days["from"], to=days["to"]).text_content()
        assert "a row for each charge of the invoiced period" in shown
        assert "other days are not in it" not in shown
        longer = page(reader, from_=days["from"], to=first_day(world)).text_content()
        assert "other days are not in it" in longer
        running = {"from": str(first_day(world)), "to": str(first_day(world))}
        assert charged(reader, **running) == []
        shown = page(reader, from_=running["from"], to=running["to"])
        assert "none lies in these days" in shown.text_content()
        (link,) = shown.xpath("//a[contains(., 'the last one')]/@href")
        assert f"from={days['from']}&to={days['to']}" in link
        part = {**days, "to": str(date.fromisoformat(days["to"]) - timedelta(days=1))}
        assert charged(reader, **part) == []

    def test_is_refused_plainly_where_it_cannot_be_told(
        self, reader: Client, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        address, days = reverse("portal:usage-focus"), invoiced_days(world)
        with tenant_scope(world.tenant.pk):
            instance = Instance.objects.get(application=world.application)
        day = {"from": days["from"], "to": days["from"]}
        for fine in ({"group": "host"}, {"instance": str(instance.pk)}):
            answer = reader.get(address, day | fine)
            assert (answer.status_code, "not of instances or hosts" in answer.content.decode()) == (
                400, True,
            )  # fmt: skip
        assert "not of instances" in page(reader, from_=day["from"], to=day["to"],
                                          group="host").text_content()  # fmt: skip
        assert reader.get(address, {"from": "soon"}).status_code == 400
        assert reader.get(address, {**days, "version": "0.5"}).status_code == 404
        monkeypatch.setattr(usage_costs, "ROWS_MAX", 1)
        answer = reader.get(address, days)
        assert (answer.status_code, "too much at once" in answer.content.decode()) == (400, True)


@pytest.mark.parametrize("group", ["application", "environment", "meter"])
def test_a_page_of_many_applications_asks_no_more_than_one_of_few(
    world: World, tenant: Tenant, client: Client, group: str
) -> None:
    counts = []
    for more in (1, 28):
        with tenant_scope(tenant.pk):
            for number in range(more):
                _one_more(world, f"more-{more}-{number}")
        client.force_login(make_person(f"{more}@{group}.example", tenant, "viewer", world.customer))
        client.get(reverse("portal:usage"))
        with CaptureQueriesContext(
            connection,
        ) as asked:
            page(client, group=group, compare="previous")
        counts.append(len(asked))
    assert counts[0] == counts[1]
    assert counts[0] < 70


def _one_more(world: World, name: str) -> None:
    from tests.portal.world import _running, use_buckets

    host = Host.objects.get(name="web-1")
    instance: Instance = _running(name, world.customer, host, since=world.invoice.period_end)
    start = datetime.combine(first_day(world), datetime.min.time(), ZoneInfo(ZONE))
    use_buckets(instance, {start: 5_000})
