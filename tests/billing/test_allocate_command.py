"""`allocate`, by hand."""

import io

import pytest
from django.core.management import CommandError, call_command

from billing.management.commands import allocate as command
from metering.tasks import allocate_all
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.metering.test_allocating import posted, rule, shared_host


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
