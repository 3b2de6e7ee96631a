"""A draft takes its prices from a file, after a look at what would change."""

import csv
from decimal import Decimal
from functools import partial
from io import StringIO
from typing import Any
from uuid import uuid4

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from lxml import html

from billing import admin_price_rows
from billing.models import PlanVersion, Price
from billing.operations import draft_next_version, publish_draft
from tenants.access_models import AuditEntry
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.admin.signing_in import signed_in
from tests.billing.timeline import at, begin_story

Table = list[dict[str, str]]


@pytest.fixture
def draft(tenant: Tenant) -> PlanVersion:
    """Of a plan with a price of CPU time and one of what is written."""
    with tenant_scope(tenant.pk):
        return draft_next_version(begin_story().plan, effective_from=at(12, 1))


@pytest.fixture
def owner(tenant: Tenant) -> Client:
    return signed_in(tenant)


def page_of(version: PlanVersion) -> str:
    return reverse("admin:billing_planversion_import_prices", args=[version.pk])


def downloaded(client: Client, version: PlanVersion) -> Table:
    address = reverse("admin:billing_planversion_download_prices", args=[version.pk])
    return list(csv.DictReader(StringIO(client.get(address).content.decode(), newline="")))


def written(table: Table) -> str:
    file = StringIO(newline="")
    rows = csv.DictWriter(file, table[0])
    rows.writeheader()
    rows.writerows(table)
    return file.getvalue()


def look(client: Client, version: PlanVersion, content: str | bytes) -> Any:
    raw = content.encode() if isinstance(content, str) else content
    return client.post(page_of(version), {"file": SimpleUploadedFile("p.csv", raw, "text/csv")})


def confirm(client: Client, version: PlanVersion, shown: Any) -> Any:
    form = html.fromstring(shown.content).forms[-1]
    sent = {name: form.fields[name] for name in ("prices", "seen")}
    return client.post(page_of(version), sent)


def shown_changes(answer: Any) -> list[list[str]]:
    rows = html.fromstring(answer.content).xpath("//form//table/tbody/tr")
    return [[" ".join(cell.text_content().split()) for cell in row] for row in rows]


def errors(answer: Any) -> list[str]:
    found = html.fromstring(answer.content).xpath("//form//p[@role='alert']")
    return [each.text_content() for each in found]


def prices(tenant: Tenant, version: PlanVersion) -> dict[str, Price]:
    with tenant_scope(tenant.pk):
        return {each.code: each for each in Price.objects.filter(plan_version=version)}


class TestImporting:
    def test_shows_what_would_change_and_changes_it_once_confirmed(
        self, tenant: Tenant, owner: Client, draft: PlanVersion
    ) -> None:
        before = prices(tenant, draft)
        table = downloaded(owner, draft)
        assert "Nothing would change" in look(owner, draft, written(table)).content.decode()
        cpu, disk = sorted(table, key=lambda row: row["meter"])
        cpu["unit_price"] = "0.123456789012"
        launches = dict.fromkeys(cpu, "") | {
            "label": "Launches", "meter": "launches", "unit": "thousand",
            "kind": "graduated", "tiers": '[{"up_to": null, "unit_price": "0.1"}]',
        }  # fmt: skip
        shown = look(owner, draft, written([cpu, launches]))
        assert errors(shown) == []
        found = shown_changes(shown)
        changed = [cpu["code"], *found[0]]
        assert changed[2:] == [
            "changed", "unit_price", found[0][3], "0.123456789012",
        ]  # fmt: skip
        assert ["tiers", "none", '[{"unit_price": "0.1", "up_to": null}]'] in [
            each[-3:] for each in found
        ]
        assert found[-1][:2] == [f"{disk['label']}{disk['code']}", "removed"]
        assert prices(tenant, draft).keys() == before.keys()
        assert prices(tenant, draft)[cpu["code"]].unit_price == before[cpu["code"]].unit_price
        assert confirm(owner, draft, shown).status_code == 302
        after = prices(tenant, draft)
        assert sorted(after) == sorted([cpu["code"], "launches"])
        assert after[cpu["code"]].unit_price == Decimal("0.123456789012")
        assert after["launches"].product_class == "hosting"
        # What the file leaves out stays as it is.
        short = f"code,label,kind\n{cpu['code']},Processor,per_unit\nlaunches,Starts,graduated\n"
        assert confirm(owner, draft, look(owner, draft, short)).status_code == 302
        after = prices(tenant, draft)
        assert after["launches"].tiers == [{"up_to": None, "unit_price": "0.1"}]
        assert (after[cpu["code"]].label, after[cpu["code"]].unit_price) == (
            "Processor", Decimal("0.123456789012"),
        )  # fmt: skip
        with tenant_scope(tenant.pk):
            noted = AuditEntry.objects.get(action="export_downloaded")
        assert noted.subject == "prices-Hosting-v2.csv"

    def test_takes_what_was_downloaded_as_it_is(
        self, tenant: Tenant, owner: Client, draft: PlanVersion
    ) -> None:
        with tenant_scope(tenant.pk):
            plan = draft.plan
            Price.objects.create(
                plan_version=draft, position=7, code="rate", label="=Rate, \"95 %\"",
                meter="memory.used", aggregation="percentile", unit="GB", percentile="99.5",
                interval_minutes=60, over="customer", unit_price="0.1", currency="USD",
                accepted_qualities=["exact"], minimum=1, maximum="2.5", product_class="support",
            )  # fmt: skip
            Price.objects.create(
                plan_version=draft, position=9, code="cells", label="Zellen",
                meter="disk.written", aggregation="sum", unit="GB", kind="matrix",
                definition={"by": ["role"], "rows": [{"values": ["*"], "unit_price": "0.05"}],
                            "default": None},
            )  # fmt: skip
            other = draft_next_version(plan, effective_from=at(12, 2))
        table = downloaded(owner, draft)
        shown = look(owner, draft, written(table))
        assert errors(shown) == []
        assert shown_changes(shown) == []
        assert "Nothing would change" in shown.content.decode()
        shown = look(owner, other, written(table))
        assert [each[1] for each in shown_changes(shown) if len(each) == 5] == ["added", "added"]
        assert confirm(owner, other, shown).status_code == 302
        changed = {"plan_version", "position", "id"}
        mine, theirs = prices(tenant, draft), prices(tenant, other)
        for code, price in mine.items():
            for field in Price._meta.concrete_fields:
                if field.name not in changed:
                    assert getattr(price, field.attname) == getattr(theirs[code], field.attname)
        assert [each.position for each in theirs.values()] == [1, 2, 3, 4]

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            ("label,kind,unit_price\nCPU,per_unit,1\n", "Row 2, meter: A price for usage says"),
            ("label,kind,meter,unit,unit_price\nA,per_unit,cpu.time,CPU-hour,0.05\n"
             'B,per_unit,cpu.time,CPU-hour,"0,05"\n', "Row 3, unit_price: Enter a number"),
            ("label,kind,unit_price\nBase,flat,0.1234567890123\n", "Row 2, unit_price: Ensure"),
            ("label,kind,unit_price\nBase,flat,NaN\n", "Row 2, unit_price: Enter a number"),
            ("label,kind,unit_price\nBase,flat,-1\n", "Row 2, unit_price: a fee must not be"),
            ("label,kind,unit_price\nBase,gratis,1\n", "Row 2, kind: Select a valid choice"),
            ("label,kind,tiers\nA,volume,[\n", "Row 2, tiers: Enter a valid JSON"),
            ("label,kind,unit_price\nA,flat,1\nA,flat,2\n", "Row 3, code: row 2 has 'a' too"),
            ("label,kind,unit_price,position\nA,flat,1,2\nB,flat,2,2\n",
             "Row 3, position: row 2 has 2 too"),
            ("label,kind,unit_price,position\nA,flat,1,x\n", "Row 2, position: 'x' is no whole"),
            ("label,kind,plan\nA,flat,Other\n", "Row 2, plan: 'Other' is not 'Hosting'"),
            ("label,kind,version\nA,flat,1\nB,flat,2\n", "Row 3, version: a file has one"),
            ("label,kind,definition\nA,percentage,\"{\"\"percent\"\": \"\"5\"\", \"\"of\"\": "
             '[""none""]}"\n', "None"),
            ("label,kind,colour\nA,flat,red\n", "Row 1, column 'colour': prices have no such"),
            ("label,unit_price\nA,1\n", "Row 1: the column 'kind' is missing"),
            ("label;kind\nA;flat\n", "Row 1: separate the columns by commas"),
            ("label,kind\nA,flat,1\n", "Row 2: it has more cells"),
            ("label,kind\n,\n", "The file has no price"),
            (b"label,kind\n\xff,flat\n", "The file is no CSV in UTF-8"),
            ("x" * 500_001, "at most 500,000 bytes"),
        ],
    )  # fmt: skip
    def test_says_in_a_line_what_is_wrong_in_which_row_and_column(
        self, tenant: Tenant, owner: Client, draft: PlanVersion, content: str | bytes, words: str
    ) -> None:
        before = prices(tenant, draft).keys()
        answer = look(owner, draft, content)
        said = errors(answer) or [answer.content.decode()]
        assert any(words.lower() in each.lower() for each in said), said
        # A line each, whatever else it says of the same row.
        assert {"\n" in each for each in said} == {False}
        assert prices(tenant, draft).keys() == before

    def test_is_bounded(
        self, owner: Client, draft: PlanVersion, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        table = "label,kind,unit_price\n" + "A,flat,x\n" * 30
        said = errors(look(owner, draft, table))
        assert (len(said), said[-1]) == (21, "And 10 more.")
        monkeypatch.setattr(admin_price_rows, "ROWS_MAX", 29)
        assert errors(look(owner, draft, table)) == ["The file has 30 prices; at most 29 fit"]

    def test_asks_again_where_the_draft_changed_meanwhile(
        self, tenant: Tenant, owner: Client, draft: PlanVersion
    ) -> None:
        table = "label,kind,unit_price\nBase,flat,5\n"
        shown = look(owner, draft, table)
        with tenant_scope(tenant.pk):
            Price.objects.filter(plan_version=draft, meter="cpu.time").update(label="Processor")
        again = confirm(owner, draft, shown)
        assert "has changed meanwhile" in again.content.decode()
        assert len(prices(tenant, draft)) == 2
        assert confirm(owner, draft, again).status_code == 302
        assert list(prices(tenant, draft)) == ["base"]

    def test_leaves_a_published_version_as_it_is(
        self, tenant: Tenant, owner: Client, draft: PlanVersion
    ) -> None:
        shown = look(owner, draft, "label,kind,unit_price\nBase,flat,5\n")
        with tenant_scope(tenant.pk):
            publish_draft(draft, as_of=at(11, 1))
        table = "label,kind,unit_price\nBase,flat,5\n"
        for ask in (partial(confirm, owner, draft, shown), partial(look, owner, draft, table)):
            answer = ask()
            assert answer.status_code == 302
            page = owner.get(answer["Location"]).content.decode()
            assert "is published and keeps its prices" in page
        assert len(prices(tenant, draft)) == 2

    def test_is_for_who_may_change_plans_of_their_own(
        self, tenant: Tenant, other_tenant: Tenant, draft: PlanVersion
    ) -> None:
        for role in ("viewer", "operator"):
            assert signed_in(tenant, role).get(page_of(draft)).status_code == 403
        theirs = signed_in(other_tenant)
        for name in ("import_prices", "download_prices"):
            answers = {
                theirs.get(reverse(f"admin:billing_planversion_{name}", args=[pk]))["Location"]
                for pk in (draft.pk, uuid4())
            }
            assert answers == {reverse("admin:billing_planversion_changelist")}
