"""Customers with many applications read what was counted last, and when that was."""

import re
from datetime import datetime, timedelta

import pytest
from django.core.cache import cache
from django.test import Client
from django.urls import reverse

from metering.models import Instance
from portal import kept
from portal.tasks import keep_large_months, keep_running_month
from tenants.scope import tenant_scope
from tests.portal.world import World, make_person, use_buckets

PAGES = ("overview", "applications", "invoices", "upcoming-invoice")


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any application is one of many; the first page still waits."""
    monkeypatch.setattr(kept, "LIVE_APPLICATIONS_MAX", 0)


@pytest.fixture
def very_many(many: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "WAITED_FOR_MAX", 1)
    monkeypatch.setattr("portal.tasks.WAITED_FOR_MAX", 1)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What workers were asked to count."""
    calls: list[tuple[str, str]] = []
    monkeypatch.setattr(keep_running_month, "delay", lambda *given: calls.append(given))
    return calls


def text(client: Client, url: str) -> str:
    """A page without the seconds at which it was read."""
    answer = client.get(url)
    assert answer.status_code == 200
    moments = r'\d\d:\d\d:\d\d(\.\d+)?|\d+\ss ago|csrfmiddlewaretoken" value="\w+"'
    return re.sub(moments, "", answer.content.decode())


def addresses(world: World) -> list[str]:
    line = reverse("portal:upcoming-line", args=[world.cpu.pk, world.application.pk])
    application = reverse("portal:application", args=[world.application.pk])
    return [*(reverse(f"portal:{name}") for name in PAGES), application, line]


def more_usage(world: World, start: datetime) -> None:
    with tenant_scope(world.tenant.pk):
        instance = Instance.objects.get(application=world.application)
        use_buckets(instance, {start: 3_600_000_000_000})


class TestWhatIsKept:
    def test_says_the_same_as_what_is_rated_now(
        self, world: World, reader: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = [text(reader, url) for url in addresses(world)]
        monkeypatch.setattr(kept, "LIVE_APPLICATIONS_MAX", 0)
        # Twice: counted, and then read.
        for _ in range(2):
            assert [text(reader, url) for url in addresses(world)] == now

    def test_is_of_one_customer(self, world: World, reader: Client, many: None) -> None:
        own = [text(reader, reverse(f"portal:{name}")) for name in PAGES]
        other = Client()
        other.force_login(
            make_person("o@second.example", world.tenant, "owner", world.other_customer)
        )
        theirs = "".join(text(other, reverse(f"portal:{name}")) for name in PAGES)
        assert "checkout" in theirs
        assert "postgres" not in theirs
        assert [text(reader, reverse(f"portal:{name}")) for name in PAGES] == own

    @pytest.mark.django_db(transaction=True)
    def test_is_counted_again_by_a_worker_after_a_minute(
        self,
        world: World,
        reader: Client,
        many: None,
        asked: list[tuple[str, str]],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        overview = reverse("portal:overview")
        before = text(reader, overview)
        more_usage(world, world.invoice.period_end + timedelta(hours=2))
        assert text(reader, overview) == before
        assert asked == []
        monkeypatch.setattr(kept, "_FRESH_FOR_MIN", timedelta(0))
        monkeypatch.setattr(kept, "_RESTS_FOR_TIMES", 0)
        for _ in range(2):
            assert text(reader, overview) == before
        assert asked == [(str(world.tenant.pk), str(world.customer.pk))]
        assert keep_running_month(*asked[0])
        assert text(reader, overview) != before


@pytest.mark.django_db(transaction=True)
class TestBeforeTheFirstCount:
    def test_pages_of_very_many_say_that_they_wait_for_it(
        self, world: World, reader: Client, very_many: None, asked: list[tuple[str, str]]
    ) -> None:
        for url in addresses(world):
            page = text(reader, url)
            assert "Your charges are being counted" in page
            assert 'hx-trigger="every 3s"' in page
        assert len(asked) == 1
        assert keep_running_month(*asked[0])
        for url in addresses(world):
            assert "being counted" not in text(reader, url)
        # Nobody counts twice what was asked for twice.
        assert not keep_running_month(*asked[0])

    def test_workers_count_the_largest_before_anybody_looks(
        self, world: World, reader: Client, very_many: None, asked: list[tuple[str, str]]
    ) -> None:
        assert keep_large_months() == 1
        assert "being counted" not in text(reader, reverse("portal:overview"))
        assert asked == []

    def test_what_the_cache_has_lost_in_part_is_counted_again(
        self, world: World, reader: Client, very_many: None, asked: list[tuple[str, str]]
    ) -> None:
        keep_large_months()
        lost = reverse("portal:upcoming-invoice")
        whole = text(reader, lost)
        pieces = [key for key in _stored() if key.endswith(":0")]
        cache.delete_many(pieces)
        assert "being counted" in text(reader, lost)
        assert keep_running_month(*asked[0])
        assert text(reader, lost) == whole


def _stored() -> list[str]:
    """Keys as they were given; the cache of a test lies in memory."""
    return [key.split(":", 2)[2] for key in cache._cache]  # type: ignore[attr-defined]
