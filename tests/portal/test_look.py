"""A page is in its reader's language, and in its provider's look."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import translation
from hypothesis import given
from hypothesis import strategies as st

from billing.models import BillingSettings
from portal import formatting
from portal.branding import contrast, style_sheet
from tenants.models import Member, Tenant
from tenants.scope import tenant_scope
from tests.admin.signing_in import signed_in as operator
from tests.portal.world import PASSWORD, World, make_person

ROOT = Path(__file__).resolve().parents[2]
CSS = (ROOT / "portal/static/portal/portal.css").read_text()
TEMPLATES = sorted((ROOT / "portal/templates").rglob("*.html"))
LOGO = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><rect width="{0}" height="9"/></svg>'
)
# What a page of ours calls by a class without styling it, and what templates put together.
HOOKS: frozenset[str] = frozenset()


def signed_in(tenant: Tenant, world: World | None = None) -> Client:
    role = Member.Role.VIEWER if world else Member.Role.OWNER
    customer = world.customer if world else None
    make_person(f"reader@{tenant.slug}.example", tenant, role, customer)
    client = Client()
    assert client.login(username=f"reader@{tenant.slug}.example", password=PASSWORD)
    return client


def page(client: Client, **headers: str) -> str:
    return client.get("/?refresh=off", headers=headers).content.decode()


class TestLanguage:
    def test_is_the_browsers(self, world: World) -> None:
        client = signed_in(world.tenant, world)
        german = page(client, **{"Accept-Language": "de-AT,de;q=0.9"})
        assert '<html lang="de">' in german
        assert "Abmelden" in german
        assert "Sign out" in page(client, **{"Accept-Language": "fr"})

    @pytest.mark.django_db
    def test_is_chosen_without_signing_in(self) -> None:
        client = Client()
        chosen = client.post(reverse("portal:language"), {"language": "de", "next": "/sign-in/"})
        assert chosen.headers["Location"] == "/sign-in/"
        assert "Anmelden" in client.get("/sign-in/").content.decode()

    @pytest.mark.django_db
    def test_leads_to_no_other_site(self) -> None:
        chosen = Client().post(
            reverse("portal:language"), {"language": "de", "next": "https://elsewhere.example/"}
        )
        assert chosen.headers["Location"] == "/"

    @pytest.mark.django_db
    def test_of_programs_and_operators_is_english(self, tenant: Tenant) -> None:
        german = {"Accept-Language": "de"}
        answer = Client().get("/api/v1/invoices", headers=german)
        assert "Content-Language" not in answer.headers
        admin = operator(tenant).get("/admin/", headers=german).content.decode()
        assert '<html lang="en' in admin


class TestStyles:
    @pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
    def test_know_every_class_of_a_page(self, path: Path) -> None:
        """A class that the style sheet does not know was renamed, or the sheet was not built."""
        for name in classes(path.read_text()):
            selector = re.escape("." + re.sub(r"([:./\[\]%])", r"\\\1", name))
            assert name in HOOKS or re.search(selector + r"(?![\w-])", CSS), name


def classes(template: str) -> Iterator[str]:
    """The names that stand in the template whole, without a tag in them."""
    without_code = re.sub(r"[\w-]*{{.*?}}[\w-]*|{%.*?%}", " ", template, flags=re.S)
    for found in re.findall(r'\sclass="([^"]*)"', without_code):
        yield from found.split()


def tokens(sheet: str) -> list[tuple[str, str]]:
    return re.findall(r"--accent:(#\w{6});--accent-soft:(#\w{6})", sheet)


def parsed(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:], 16)


class TestColour:
    @given(st.integers(0, 0xFFFFFF))
    def test_stands_out_from_every_ground(self, colour: int) -> None:
        light, dark = tokens(style_sheet(f"{colour:06x}"))
        for (accent, soft), grounds in (
            (light, ("#f5f6f8", "#ffffff")),
            (dark, ("#0e1218", "#161b23")),
        ):
            for ground in (*grounds, soft):
                assert contrast(parsed(accent), parsed(ground)) >= 4.5

    def test_that_is_readable_stays_as_it_is(self) -> None:
        assert "--accent:#7a1f5c" in style_sheet("7a1f5c")

    def test_is_on_the_pages_of_its_provider(self, world: World) -> None:
        client = signed_in(world.tenant, world)
        assert "/brand/" not in page(client)
        with tenant_scope(world.tenant.pk):
            BillingSettings.objects.create(colour="#7A1F5C")
        assert 'href="/brand/7a1f5c.css"' in page(client)
        assert b"--accent" in client.get("/brand/7a1f5c.css").content


class TestLogo:
    def test_of_another_provider_answers_as_a_missing_one(
        self, tenant: Tenant, other_tenant: Tenant
    ) -> None:
        addresses = {}
        clients = {each: signed_in(each) for each in (tenant, other_tenant)}
        for width, owner in enumerate(clients, 1):
            with tenant_scope(owner.pk):
                BillingSettings.objects.create(logo_svg=LOGO.format(width))
            found = re.search(r"/brand/logo/\w+\.svg", page(clients[owner]))
            assert found is not None
            addresses[owner] = found[0]
        own = clients[tenant].get(addresses[tenant])
        assert own["Content-Type"] == "image/svg+xml"
        assert b"<rect" in own.content
        assert clients[tenant].get(addresses[other_tenant]).status_code == 404
        assert Client().get(addresses[tenant]).status_code == 404


class TestFigures:
    def test_are_written_as_the_language_does(self) -> None:
        with translation.override("de"):
            assert formatting.amount(Decimal("-1234.5"), "EUR") == "\u22121.234,50\u00a0€"
            assert formatting.usage("memory.used", 5_400 * 10**9) == "1,5\u00a0GB-Stunden"
            assert formatting.share(Decimal(1), Decimal(3)) == "33,3\u00a0%"
            moment = datetime(2026, 11, 23, 13, 5, tzinfo=UTC)
            assert formatting.day(moment, UTC) == "23.\u00a0Nov.\u00a02026"
            assert formatting.duration(timedelta(days=2)) == "2\u00a0T"
