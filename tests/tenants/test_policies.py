"""Policies are drafted, published from a moment on, rolled out and taken back."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from tenants.history import changes_of
from tenants.models import Policy
from tenants.policies import (
    PolicyRefused,
    change_draft,
    changes_to_come,
    draft_of,
    publish,
    remove_draft,
    roll_back,
    roll_out,
)
from tenants.policy_models import PolicyVersion
from tenants.refusals import constraint_of

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


def published(policy: Policy, **terms: object) -> PolicyVersion:
    draft = change_draft(draft_of(policy), terms)
    return publish(draft, effective_from=NOON, by="anna@example.com", as_of=NOON)


@pytest.fixture
def policy(inside: UUID) -> Policy:
    return Policy.objects.create(name="calm")


class TestADraft:
    def test_begins_as_the_version_before(self, policy: Policy) -> None:
        published(policy, cpu_millicores=500, note="first")
        draft = draft_of(policy)
        assert (draft.number, draft.cpu_millicores, draft.note) == (2, 500, "")
        assert draft_of(policy) == draft

    def test_says_what_it_would_change(self, policy: Policy) -> None:
        published(policy, cpu_millicores=500)
        draft = change_draft(draft_of(policy), {"cpu_millicores": 700, "enforced": True})
        changed = {each.term: (each.before, each.after) for each in changes_to_come(draft)}
        assert changed == {"cpu_millicores": (500, 700), "enforced": (False, True)}

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("cpu_millicores", 0),
            ("memory_bytes", 2**50 + 1),
            ("users_max", -1),
            ("offline_grace_seconds", 299),
            ("minimum_agent_version", "newest"),
            ("rules", [{"effect": "maybe"}]),
        ],
    )
    def test_takes_nothing_out_of_bounds(self, policy: Policy, field: str, value: object) -> None:
        with pytest.raises(ValidationError) as refused:
            change_draft(draft_of(policy), {field: value})
        assert list(refused.value.message_dict) == [field]

    def test_needs_a_version_for_a_deadline(self, policy: Policy) -> None:
        with pytest.raises(ValidationError, match="Which version"):
            change_draft(draft_of(policy), {"minimum_agent_by": NOON})

    def test_can_be_removed_and_a_published_version_cannot(self, policy: Policy) -> None:
        version = published(policy)
        remove_draft(draft_of(policy))
        with pytest.raises(PolicyRefused, match="never changes"):
            remove_draft(version)
        assert list(policy.versions.all()) == [version]


class TestPublishing:
    def test_is_the_same_a_second_time(self, policy: Policy) -> None:
        version = published(policy)
        again = publish(version, effective_from=NOON, by="else", as_of=NOON + timedelta(days=1))
        assert again.published_by == "anna@example.com"
        with pytest.raises(PolicyRefused, match="published already"):
            publish(version, effective_from=NOON + timedelta(days=3), by="else", as_of=NOON)

    @pytest.mark.parametrize(
        ("when", "reason"),
        [
            (NOON - timedelta(seconds=1), "in the past"),
            (NOON + timedelta(days=401), "days ahead"),
        ],
    )
    def test_is_for_a_time_that_can_be_met(
        self, policy: Policy, when: datetime, reason: str
    ) -> None:
        with pytest.raises(PolicyRefused, match=reason):
            publish(draft_of(policy), effective_from=when, by="anna", as_of=NOON)

    def test_is_for_good_whoever_asks(self, policy: Policy) -> None:
        version = published(policy, cpu_millicores=500)
        with pytest.raises(PolicyRefused, match="never changes"):
            change_draft(version, {"cpu_millicores": 700})
        for change in (
            {"cpu_millicores": 700},
            {"effective_from": NOON + timedelta(days=1)},
            {"published_at": None, "effective_from": None},
        ):
            with pytest.raises(IntegrityError) as refused, transaction.atomic():
                PolicyVersion.objects.update(**change)
            assert constraint_of(refused.value) == "policy_version_is_published"
        with pytest.raises(IntegrityError, match="never changes"), transaction.atomic():
            PolicyVersion.objects.all().delete()

    def test_stands_in_the_versions_history(self, policy: Policy) -> None:
        version = published(policy)
        fields = [change.fields for change in changes_of(PolicyVersion, version.pk)]
        assert "published at" in {field.label for field in fields[0]}


class TestRollOut:
    def test_goes_on_and_back_as_long_as_it_is_not_taken_back(self, policy: Policy) -> None:
        version = published(policy)
        assert roll_out(version, 10).rollout_percent == 10
        assert roll_out(version, 50).rollout_percent == 50
        back = roll_back(version, as_of=NOON)
        assert roll_back(version, as_of=NOON + timedelta(days=1)).rolled_back_at == NOON
        with pytest.raises(PolicyRefused, match="taken back"):
            roll_out(back, 60)
        with pytest.raises(IntegrityError), transaction.atomic():
            PolicyVersion.objects.update(rolled_back_at=None)

    def test_is_of_what_is_published_and_of_a_share(self, policy: Policy) -> None:
        draft = draft_of(policy)
        with pytest.raises(PolicyRefused, match="is a draft"):
            roll_out(draft, 10)
        with pytest.raises(PolicyRefused, match="is a draft"):
            roll_back(draft, as_of=NOON)
        version = published(policy)
        with pytest.raises(PolicyRefused, match="from 0 to 100"):
            roll_out(version, 101)
