"""Customers are written to when their budget runs out or their dispute is answered."""

from decimal import Decimal
from uuid import uuid4

import pytest
from django.utils import timezone, translation

from billing.models import BillingDetails, BillingSettings, BudgetRequest
from billing.operations import Saying, answer_dispute, close_due, finalize_invoice, open_dispute
from billing.operations.budget_alerts import look_at_budgets
from billing.operations.budgets import BudgetTerms, add_budget, decide_request
from tenants.core.mail import Letter
from tenants.mail_kinds import kind_of
from tenants.mail_models import MailMessage
from tests.billing.timeline import HOUR_US, NOVEMBER, Story, at, begin_story, use

pytestmark = pytest.mark.usefixtures("inside")
EMAIL = "accounts@pine.example"


@pytest.fixture
def story(inside: object) -> Story:
    story = begin_story("pine", "fair")
    BillingDetails.objects.create(customer=story.customer, email=EMAIL, country="DE")
    use(story.shop, at(10, 3), cpu_us=1_000 * HOUR_US)
    return story


class TestBudget:
    @pytest.mark.parametrize("by_email", [True, False])
    def test_that_is_reached_is_told_once_where_that_is_wanted(
        self, story: Story, by_email: bool
    ) -> None:
        terms = BudgetTerms("Production", Decimal(5), "EUR", at_limit="ask", by_email=by_email)
        add_budget(story.customer, terms, as_of=at(10, 2))
        for _ in range(2):
            look_at_budgets(story.customer, as_of=at(10, 5))
        sent = MailMessage.objects.filter(kind="budget_alert")
        assert sent.count() == by_email
        for message in sent:
            assert message.recipient == EMAIL

    @pytest.mark.parametrize("by_email", [True, False])
    def test_tells_when_the_operator_was_asked_and_what_was_decided(
        self, story: Story, by_email: bool
    ) -> None:
        BillingSettings.objects.create(customers_may_stop_applications=True)
        terms = BudgetTerms(
            "Shop", Decimal(5), "EUR", application=story.shop, at_limit="stop", by_email=by_email
        )
        add_budget(story.customer, terms, as_of=at(10, 2))
        look_at_budgets(story.customer, as_of=at(10, 5, 12))
        decide_request(
            BudgetRequest.objects.get(), "done", note="Stopped 100 %.", decided_by="a@b.example",
            as_of=at(10, 6),
        )  # fmt: skip
        sent = {each.kind: each for each in MailMessage.objects.all()}
        assert set(sent) == ({"budget_alert", "budget_decided"} if by_email else set())
        if not by_email:
            return
        alert = letter_of(sent["budget_alert"])
        assert alert.closing[0] == (
            "On 5 Oct 2026, 14:00 CEST your provider was asked to stop the application pine-shop."
        )
        assert "runs on and is billed" in alert.closing[1]
        decided = letter_of(sent["budget_decided"])
        assert decided.paragraphs[1:] == ("The application was stopped.", "Stopped 100 %.")
        assert "wurde am 5. Okt. 2026, 14:00 CEST gebeten" in " ".join(
            letter_of(sent["budget_decided"], "de").paragraphs
        )


def letter_of(message: MailMessage, language: str = "en") -> Letter:
    with translation.override(language), timezone.override(message.time_zone):
        return kind_of(message.kind).write(message.context)


class TestDispute:
    def test_that_is_answered_is_told_in_the_operators_words(self, story: Story) -> None:
        (draft,) = close_due(as_of=NOVEMBER)
        invoice = finalize_invoice(draft, as_of=NOVEMBER)
        line = invoice.lines.get(application=story.shop)
        saying = Saying(uuid4(), "me@pine.example", "We used less.")
        dispute = open_dispute(line, "usage", saying, as_of=NOVEMBER)
        assert not MailMessage.objects.filter(kind="dispute_answered").exists()
        answer = Saying(uuid4(), "you@first.example", "Here are the samples.")
        for _ in range(2):
            answer_dispute(dispute, answer, as_of=NOVEMBER)
        assert MailMessage.objects.get(kind="dispute_answered").recipient == EMAIL
