"""`allocate`, by hand."""

import io

import pytest
from django.core.management import CommandError, call_command

from billing.management.commands import allocate as command
from metering.allocation_rules import state_rule
from metering.models import Host
from metering.rollup_models import Rollup
from metering.tasks import allocate_all
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.metering.test_allocating import LATER, NINE, posted, rule, shared_host


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command("allocate", "--tenant", "first-host", *arguments, stdout=out, stderr=io.StringIO())
    return out.getvalue().strip()


@pytest.fixture
def ruled(tenant: Tenant) -> Tenant:
    """Of the only hour with usage a rule holds."""
    with tenant_scope(tenant.pk):
        shared_host()
        rule()
    return tenant


class TestTheCommand:
    def test_posts_what_is_due_and_then_nothing(self, ruled: Tenant) -> None:
        assert run() == "2 hours looked at, 2 postings made"
        assert run() == "0 hours looked at, 0 postings made"
        again = "--from", "2026-10-12T08:00Z", "--until", "2026-10-12T10:30Z"
        assert run(*again) == "3 hours looked at, 0 postings made"

    def test_tells_how_far_it_is(self, ruled: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(command, "_PROGRESS_EVERY_S", 0)
        said = io.StringIO()
        call_command("allocate", "--tenant", ruled.slug, stdout=io.StringIO(), stderr=said)
        assert said.getvalue().splitlines() == [
            "1 of 2 hours, 2 postings", "2 of 2 hours, 2 postings",
        ]  # fmt: skip

    def test_tries_what_failed_again(self, ruled: Tenant) -> None:
        with tenant_scope(ruled.pk):
            Host.objects.update(memory_bytes=2**62)
            state_rule("memory.used", "evenly", starts_at=NINE, author="o", as_of=LATER)
            Rollup.objects.update(memory_used=5)
        said = io.StringIO()
        for _ in range(2):
            with pytest.raises(CommandError, match="1 failed; the rest is done"):
                call_command("allocate", "--tenant", ruled.slug, stdout=io.StringIO(), stderr=said)
        failed = [line for line in said.getvalue().splitlines() if line.startswith("failed: ")]
        assert len(failed) == 2
        assert failed[0].startswith("failed: 2026-10-12T09:00Z, memory.used of web-1: ")

    @pytest.mark.parametrize(
        ("arguments", "reason"),
        [
            (("--from", "2026-10-12T08:00Z"), "give both --from and --until"),
            (("--from", "soon", "--until", "2026-10-12T08:00Z"), "not an ISO 8601 instant"),
            (("--from", "2026-10-12T08:00Z", "--until", "2026-10-12T08:00Z"), "lie after --from"),
            (("--from", "2026-01-01T08:00Z", "--until", "2026-10-12T08:00Z"), "over 92 days apart"),
            (("--from", "2026-10-12T08:00Z", "--until", "2999-10-12T08:00Z"), "in the future"),
        ],
    )
    def test_says_what_is_wrong_in_one_line(
        self, ruled: Tenant, arguments: tuple[str, ...], reason: str
    ) -> None:
        with pytest.raises(CommandError, match=reason):
            run(*arguments)

    def test_says_so_where_there_is_no_rule(self, tenant: Tenant) -> None:
        with pytest.raises(CommandError, match="no allocation rule; state one in the admin"):
            run()


class TestTheTask:
    def test_posts_for_every_tenant(self, ruled: Tenant, other_tenant: Tenant) -> None:
        assert allocate_all() == 2
        assert allocate_all() == 0
        with tenant_scope(ruled.pk):
            assert posted() > 0
        with tenant_scope(other_tenant.pk):
            assert posted() == 0
