"""From signed batches to an invoice that an auditor recomputes without the server."""

import json
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from pytest_django.fixtures import Settings

from billing.core.periods import Period
from billing.core.proof.samples import SampleRecord, sample_line
from billing.models import ProofKey
from billing.operations.plans import Counting
from billing.proof.evidence import Behind, digests_behind, sample_lines
from billing.proof.keys import proof_key, public_keys
from metering.core.cloudevents import parse_event
from metering.corrections import delete_usage, replace_usage
from metering.cuts import Cut
from metering.events import store_events
from metering.models import Application, Assignment, Sample
from metering.queries import samples_of
from metering.rollups import roll_up
from metering.usage_rows import UsagePeriod
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.billing.proving import Proven, every_kind, prove, said_of
from tests.verify.rebuilding import changed_json, contents_of, signed_anew
from tests.verify.running import run

pytestmark = pytest.mark.django_db


@pytest.fixture
def proven(tenant: Tenant) -> Proven:
    return prove(tenant)


class TestAnIssuedInvoice:
    def test_is_recomputed_from_its_bundle_line_by_line(
        self, proven: Proven, tmp_path: Path
    ) -> None:
        code, said = said_of(proven.bundle(), tmp_path)
        assert code == 0
        assert "batches  3, signed by 1 host  ok" in said
        with tenant_scope(proven.tenant.pk):
            labels = [line.label for line in proven.invoice.lines.order_by("position")]
        assert [line.split("  ")[0] for line in said if line.endswith("EUR  ok")] == [
            *labels, "total", "tax total", "credit applied", "payable",
        ]  # fmt: skip
        assert said[-1] == "PASS"

    def test_is_recomputed_down_to_all_of_its_samples(self, proven: Proven, tmp_path: Path) -> None:
        whole = Period(proven.invoice.period_start, proven.invoice.period_end)
        code, said = said_of(proven.bundle(samples=whole), tmp_path)
        assert (code, said[-1]) == (0, "PASS")
        assert "samples  210, 210 of them here  ok" in said

    def test_is_proven_by_what_was_known_when_it_was_issued(
        self, proven: Proven, tmp_path: Path
    ) -> None:
        before = proven.bundle(samples=proven.hour())
        proven.deliver_more(proven.first + timedelta(minutes=2))
        assert proven.bundle(samples=proven.hour()) == before
        assert said_of(before, tmp_path)[0] == 0

    def test_is_proven_without_corrections_that_came_later(self, proven: Proven) -> None:
        before = proven.bundle(samples=proven.hour())
        with tenant_scope(proven.tenant.pk):
            delete_usage(
                Application.objects.get(name="shop"),
                (proven.first, proven.first + timedelta(hours=1)),
                reason="A test ran", author="owner@first.example", as_of=timezone.now(),
            )  # fmt: skip
        roll_up(proven.tenant.pk)
        assert proven.bundle(samples=proven.hour()) == before


class TestTheEvidence:
    def test_has_each_sample_as_the_core_writes_it(self, proven: Proven) -> None:
        with tenant_scope(proven.tenant.pk):
            behind = behind_all(proven)
            written = list(sample_lines(behind, proven.first, proven.first + timedelta(days=1)))
            expected = sorted(sample_line(each) for each in every_sample())
            digests = list(digests_behind(behind))
        assert sorted(written) == expected
        assert sum(each.samples for each in digests) == len(expected)


def behind_all(proven: Proven) -> Behind:
    periods = [
        UsagePeriod(each.application_id, proven.invoice.period_start, proven.invoice.period_end)
        for each in Assignment.objects.all()
    ]
    return Behind(periods, Cut(timezone.now()))


def every_sample() -> list[SampleRecord]:
    buckets = {
        (each.application_id, each.window_start.replace(minute=each.window_start.minute // 5 * 5,
                                                        second=0))
        for each in Sample.objects.all()
    }  # fmt: skip
    profile_of = dict(Sample.objects.values_list("pk", "measurement_id"))
    return [
        SampleRecord(
            str(row.host_id), str(row.epoch), row.sequence, row.batch_index, str(application),
            str(row.instance_id), row.role, row.window_start, row.window_end, row.coverage_ppm,
            str(measured) if measured else None, row.usage,
        )
        for application, start in buckets
        for row in samples_of(application, start)
        for measured in [profile_of[proven_tenant(), row.batch_id, row.batch_index]]
    ]  # fmt: skip


def proven_tenant() -> object:
    return Tenant.objects.get().pk


class TestStatedUsage:
    def test_of_events_and_corrections_is_recomputed(self, tenant: Tenant, tmp_path: Path) -> None:
        proven = prove(tenant, before_closing=stated)
        code, said = said_of(proven.bundle(samples=proven.hour()), tmp_path)
        assert (code, said[-1]) == (0, "PASS")
        assert "events  4  ok" in said


def stated(first: datetime) -> None:
    """Orders that the shop itself tells of, and what was measured in error."""
    now = timezone.now()
    orders = [
        {
            "specversion": "1.0",
            "id": str(number),
            "source": "till",
            "type": "hostmeter.usage.v1",
            "subject": "production/shop",
            "time": (first + timedelta(minutes=4 * number)).isoformat(),
            "data": {"meter": "shop.orders", "quantity": number, "user": f"user-{number}"},
        }
        for number in range(1, 5)
    ]
    results = store_events([parse_event(each, as_of=now) for each in orders], as_of=now)
    assert [each.outcome for each in results] == ["stored"] * 4
    whole, told = (first, first + timedelta(minutes=15)), "owner@first.example"
    shop, mail = (Application.objects.get(name=name) for name in ("shop", "mail"))
    replace_usage(
        mail, whole, {"cpu.time": 10_000_001}, reason="Measured twice", as_of=now, author=told
    )
    next_hour = (first + timedelta(hours=1), first + timedelta(hours=1, minutes=5))
    delete_usage(shop, next_hour, meters=["memory.used"], reason="A test", as_of=now, author=told)


class TestPricesOfEveryKind:
    @pytest.mark.parametrize(
        "counting",
        [
            Counting(),
            Counting(primaries="one", primary_factor=Decimal("0.5")),
            Counting(gaps="held"),
            Counting(gaps="credited"),
        ],
    )
    def test_are_recomputed(self, tenant: Tenant, tmp_path: Path, counting: Counting) -> None:
        proven = prove(tenant, prices=every_kind, counting=counting)
        code, said = said_of(proven.bundle(), tmp_path)
        assert (code, said[-1]) == (0, "PASS"), said
        labels = {line.split("  ")[0] for line in said}
        assert labels >= {"CPU", "Orders", "Roles", "Burst", "Peak", "Base", "Support"}


class TestACreditForGaps:
    def test_is_recomputed_from_the_rollups(self, tenant: Tenant, tmp_path: Path) -> None:
        proven = prove(tenant, prices=every_kind, counting=Counting(gaps="credited"))
        bundle = proven.bundle()
        code, said = said_of(bundle, tmp_path)
        (line,) = [each for each in said if each.startswith("Base: credit for gaps")]
        assert line.endswith("EUR  ok")
        assert (code, said[-1]) == (0, "PASS")

        for change in (less_expected, nothing_given_back):
            code, said = said_of(
                signed_anew(bundle, changed_json("invoice.json", change)), tmp_path
            )
            assert (code, said[-1].split(":")[0]) == (1, "FAIL"), said


def credit_in(invoice: Any) -> Any:
    return next(line for line in invoice["lines"] if "time" in line["facts"])


def less_expected(invoice: Any) -> None:
    credit_in(invoice)["facts"]["time"]["expected_us"] -= 1


def nothing_given_back(invoice: Any) -> None:
    invoice["lines"].remove(credit_in(invoice))


class TestTheProofKey:
    def test_is_made_once(self, proven: Proven) -> None:
        with tenant_scope(proven.tenant.pk):
            first, again = (proof_key(as_of=timezone.now()) for _ in range(2))
            assert first.private_bytes_raw() == again.private_bytes_raw()
            assert len(public_keys()) == 1

    def test_is_not_stored_in_the_clear(self, proven: Proven) -> None:
        with tenant_scope(proven.tenant.pk):
            private = proof_key(as_of=timezone.now()).private_bytes_raw()
            assert private not in bytes(ProofKey.objects.get().sealed_key)

    def test_is_another_one_for_another_tenant(self, proven: Proven, other_tenant: Tenant) -> None:
        with tenant_scope(proven.tenant.pk):
            own = proof_key(as_of=timezone.now()).public_key().public_bytes_raw()
        with tenant_scope(other_tenant.pk):
            theirs = proof_key(as_of=timezone.now()).public_key().public_bytes_raw()
            assert [key for key, _ in public_keys()] == [theirs]
        assert own != theirs

    def test_follows_the_installations_secret_and_the_former_one_stays_known(
        self, proven: Proven, settings: Settings
    ) -> None:
        with tenant_scope(proven.tenant.pk):
            before = proof_key(as_of=timezone.now()).public_key().public_bytes_raw()
            settings.SECRET_KEY = "another"
            after = proof_key(as_of=timezone.now()).public_key().public_bytes_raw()
            assert [key for key, _ in public_keys()] == [after, before]


class TestTheCommand:
    def test_writes_the_bundle_and_its_verifier(self, proven: Proven, tmp_path: Path) -> None:
        bundle, verifier = tmp_path / "bundle.zip", tmp_path / "hostmeter.pyz"
        span = f"{proven.first.isoformat()}/{(proven.first + timedelta(minutes=5)).isoformat()}"
        call_command(
            "export_proof", proven.invoice.reference, tenant="first-host", output=str(bundle),
            verifier=str(verifier), with_samples=span,
        )  # fmt: skip
        done = run(verifier, "verify", bundle)
        assert done.stdout.endswith("PASS\n")
        assert "70 of them here" in done.stdout
        key = json.loads(contents_of(bundle.read_bytes())["manifest.json"])["proof_key"]
        assert run(verifier, "verify", bundle, "--key", key).returncode == 0

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"reference": "99"}, "no issued invoice '99'"),
            ({"tenant": "nobody"}, "no tenant 'nobody'; there are: first-host"),
            ({"with_samples": "2026-01-01"}, "two ISO 8601 instants"),
            ({"with_samples": "2026-01-01T00:00/2026-01-02T00:00"}, "has no offset"),
            ({"with_samples": "2026-01-02T00:00Z/2026-01-01T00:00Z"}, "ends before it starts"),
            ({"output": "/nowhere/bundle.zip"}, "cannot write /nowhere/bundle.zip: No such file"),
        ],
    )
    def test_says_in_one_line_what_is_wrong(
        self, proven: Proven, tmp_path: Path, changes: dict[str, str], said: str
    ) -> None:
        options = {
            "reference": proven.invoice.reference,
            "tenant": "first-host",
            "output": str(tmp_path / "bundle.zip"),
        } | changes
        with pytest.raises(CommandError, match=said) as refused:
            call_command("export_proof", options.pop("reference"), **options)
        assert "\n" not in str(refused.value)
        assert list(tmp_path.iterdir()) == []
