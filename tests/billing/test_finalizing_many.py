"""Drafts are looked through, and many are finalized together however often a worker is killed."""

from collections.abc import Callable
from datetime import timedelta
from unittest.mock import patch

import pytest

from billing import finalizing
from billing.finalizing import begin_finalizing, finalize_steps
from billing.models import Finalizing, FinalizingStep, Invoice, InvoiceReview
from billing.operations import close_due, finalize_invoice
from billing.operations.reviews import review_drafts, review_new_drafts
from billing.tasks import resume_finalizing
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.billing.timeline import HOUR_US, Story, at, begin_story, use

DECEMBER, SEEN = at(12, 1), timedelta(hours=1)


def drafts(tenant: Tenant) -> Story:
    """October's, and the bigger November's."""
    with tenant_scope(tenant.pk):
        story = begin_story()
        use(story.shop, at(10, 3), cpu_us=100 * HOUR_US)
        use(story.shop, at(11, 3), cpu_us=900 * HOUR_US)
        assert len(close_due(as_of=DECEMBER)) == 2
    return story


class TestReviewing:
    def test_marks_each_draft_by_its_own_customers_past(self, tenant: Tenant) -> None:
        drafts(tenant)
        with tenant_scope(tenant.pk):
            assert review_drafts(as_of=DECEMBER) == 2
            october, november = InvoiceReview.objects.order_by("invoice__period_start")
            assert [kind for kind, *_ in october.marks] == ["hosts", "first"]
            assert [kind for kind, *_ in november.marks] == ["total", "hosts"]
            assert november.severity == InvoiceReview.Severity.LOOK

    def test_twice_keeps_one_review_of_each(self, tenant: Tenant) -> None:
        drafts(tenant)
        with tenant_scope(tenant.pk):
            for _ in range(2):
                review_drafts(as_of=DECEMBER)
            assert InvoiceReview.objects.count() == 2
            assert review_new_drafts(as_of=DECEMBER, marked_before=DECEMBER) == 0
            assert review_new_drafts(as_of=DECEMBER + SEEN, marked_before=DECEMBER + SEEN) == 2

    def test_takes_no_more_queries_for_more_drafts(
        self, tenant: Tenant, django_assert_max_num_queries: object
    ) -> None:
        drafts(tenant)
        with tenant_scope(tenant.pk), django_assert_max_num_queries(12):  # type: ignore[operator]
            review_drafts(as_of=DECEMBER)


@pytest.mark.django_db(transaction=True)
class TestFinalizingMany:
    def begun(self, tenant: Tenant) -> Finalizing:
        drafts(tenant)
        with tenant_scope(tenant.pk):
            chosen = list(Invoice.objects.values_list("pk", flat=True))
            with patch.object(finalizing, "ask_worker"):
                run = begin_finalizing(tenant.pk, chosen, author="boss@first.example")
        assert run is not None
        return run

    def test_numbers_each_once_the_oldest_period_first(self, tenant: Tenant) -> None:
        run = self.begun(tenant)
        assert finalize_steps(tenant.pk, run.pk) == 2
        assert finalize_steps(tenant.pk, run.pk) == 0
        with tenant_scope(tenant.pk):
            numbers = Invoice.objects.order_by("period_start").values_list("number", flat=True)
            assert list(numbers) == [1, 2]
            assert Finalizing.objects.get().finished_at is not None

    def test_goes_on_where_a_worker_was_killed(self, tenant: Tenant) -> None:
        run = self.begun(tenant)
        with (
            patch.object(finalizing, "finalize_invoice", _in_turn(finalize_invoice, _killed)),
            pytest.raises(KeyboardInterrupt),
        ):
            finalize_steps(tenant.pk, run.pk)
        with tenant_scope(tenant.pk):
            assert FinalizingStep.objects.filter(done_at=None).count() == 1
            assert Invoice.objects.filter(number=None).count() == 1
        assert resume_finalizing() == 1
        assert resume_finalizing() == 0
        with tenant_scope(tenant.pk):
            assert set(Invoice.objects.values_list("number", flat=True)) == {1, 2}

    def test_says_why_one_was_refused_and_goes_on(self, tenant: Tenant) -> None:
        run = self.begun(tenant)
        in_turn = _in_turn(_refused, finalize_invoice)
        with patch.object(finalizing, "finalize_invoice", in_turn):
            assert finalize_steps(tenant.pk, run.pk) == 1
        with tenant_scope(tenant.pk):
            assert FinalizingStep.objects.get(position=1).refusal == "no rate for DE"
            assert Invoice.objects.filter(number=1).count() == 1

    def test_leaves_what_is_in_another_run_to_that_one(self, tenant: Tenant) -> None:
        self.begun(tenant)
        with tenant_scope(tenant.pk):
            every = list(Invoice.objects.values_list("pk", flat=True))
            assert begin_finalizing(tenant.pk, every, author="other@first.example") is None


def _in_turn(*calls: Callable[..., Invoice]) -> Callable[..., Invoice]:
    """The first call of it is the first of them, and so on."""
    waiting = iter(calls)

    def call(*given: object, **named: object) -> Invoice:
        return next(waiting)(*given, **named)

    return call


def _killed(*_: object, **__: object) -> Invoice:
    raise KeyboardInterrupt


def _refused(*_: object, **__: object) -> Invoice:
    raise ValueError("no rate for DE")
