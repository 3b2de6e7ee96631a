"""Policies as they change: drafted, published from a moment on, rolled out, taken back."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.db import transaction

from tenants.core.policies import Difference, differences
from tenants.models import Policy
from tenants.policy_models import TERMS, PolicyVersion

AHEAD_MAX: Final = timedelta(days=400)
_EDITED: Final = (*TERMS, "note")


class PolicyRefused(Exception):
    """What a policy cannot do as it stands; the text says what and why."""


@transaction.atomic
def draft_of(policy: Policy) -> PolicyVersion:
    """The policy's draft; made as a copy of its newest published version where there is none."""
    _hold(policy)
    draft = policy.versions.filter(published_at__isnull=True).first()
    if draft is not None:
        return draft
    last = policy.versions.order_by("-number").first()
    taken = {name: getattr(last, name) for name in TERMS} if last else {}
    number = last.number + 1 if last else 1
    return PolicyVersion.objects.create(policy=policy, number=number, **taken)


@transaction.atomic
def change_draft(version: PolicyVersion, changes: Mapping[str, Any]) -> PolicyVersion:
    """Give a draft other terms; what is not named stays. Raises PolicyRefused for what is
    published, and ValidationError by the field."""
    draft = _locked(version)
    if not draft.is_draft:
        raise PolicyRefused(f"version {draft.number} is published and never changes")
    for name in _EDITED:
        if name in changes:
            setattr(draft, name, changes[name])
    draft.full_clean(exclude=["policy", "tenant"])
    draft.save(update_fields=[*_EDITED])
    return draft


@transaction.atomic
def remove_draft(version: PolicyVersion) -> None:
    """Raises PolicyRefused for what is published."""
    draft = _locked(version)
    if not draft.is_draft:
        raise PolicyRefused(f"version {draft.number} is published and never changes")
    draft.delete()


@transaction.atomic
def publish(
    version: PolicyVersion,
    *,
    effective_from: datetime,
    rollout_percent: int = 100,
    by: str,
    as_of: datetime,
) -> PolicyVersion:
    """The draft holds from `effective_from` on, for that share of the hosts. Published again with
    the same, it stays as it is. Raises PolicyRefused."""
    draft = _locked(version)
    if not draft.is_draft:
        same = (draft.effective_from, draft.rollout_percent) == (effective_from, rollout_percent)
        if same:
            return draft
        raise PolicyRefused(f"version {draft.number} is published already")
    if effective_from < as_of:
        raise PolicyRefused("it cannot take effect in the past: what held then is known to hosts")
    if effective_from > as_of + AHEAD_MAX:
        raise PolicyRefused(f"it lies over {AHEAD_MAX.days} days ahead")
    _require_share(rollout_percent)
    draft.effective_from, draft.published_at, draft.published_by = effective_from, as_of, by
    draft.rollout_percent = rollout_percent
    draft.save()
    return draft


@transaction.atomic
def roll_out(version: PolicyVersion, percent: int) -> PolicyVersion:
    """Give the version to another share of the hosts: those that had it keep it while the share
    grows. Raises PolicyRefused."""
    found = _locked(version)
    _require_published(found)
    _require_share(percent)
    if found.rolled_back_at is not None:
        raise PolicyRefused(f"version {found.number} was taken back; publish a new one")
    found.rollout_percent = percent
    found.save(update_fields=["rollout_percent"])
    return found


@transaction.atomic
def roll_back(version: PolicyVersion, *, as_of: datetime) -> PolicyVersion:
    """No host goes by the version any more: the one before holds again. Taken back for good; what
    was taken back before stays as it is. Raises PolicyRefused for a draft."""
    found = _locked(version)
    _require_published(found)
    if found.rolled_back_at is None:
        found.rolled_back_at = as_of
        found.save(update_fields=["rolled_back_at"])
    return found


def changes_to_come(version: PolicyVersion) -> tuple[Difference, ...]:
    """What the version changes of the published one before it, that was not taken back."""
    before = (
        version.policy.versions.published()
        .filter(number__lt=version.number, rolled_back_at__isnull=True)
        .order_by("-number")
        .first()
    )
    return differences(before.terms if before else None, version.terms)


def _hold(policy: Policy) -> None:
    """Until the transaction ends nobody else changes the policy's versions."""
    Policy.objects.select_for_update(no_key=True).get(pk=policy.pk)


def _locked(version: PolicyVersion) -> PolicyVersion:
    _hold(Policy(pk=version.policy_id))
    return PolicyVersion.objects.select_related("policy").get(pk=version.pk)


def _require_published(version: PolicyVersion) -> None:
    if version.is_draft:
        raise PolicyRefused(f"version {version.number} is a draft; publish it first")


def _require_share(percent: int) -> None:
    if not 0 <= percent <= 100:
        raise PolicyRefused("the share of hosts must be from 0 to 100 percent")


def fields_refused(refusal: ValidationError) -> list[tuple[str, str]]:
    """(field, reason) of each thing that is wrong with a draft."""
    return [
        (name, message) for name, messages in refusal.message_dict.items() for message in messages
    ]
