"""Which policy versions hold, read from the database. Every query runs inside a tenant's scope."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from tenants.policy_models import PolicyVersion

Published = dict[UUID, list[PolicyVersion]]
"""Versions by their policy; which of them holds for a host says core.policies.version_for()."""


def published_versions(policy_ids: Iterable[UUID | None], *, as_of: datetime) -> Published:
    """The versions of some policies that have taken effect, in one query."""
    wanted = {policy_id for policy_id in policy_ids if policy_id is not None}
    found: Published = defaultdict(list)
    if not wanted:
        return found
    rows = PolicyVersion.objects.published().filter(policy__in=wanted, effective_from__lte=as_of)
    for version in rows.select_related("policy"):
        found[version.policy_id].append(version)
    return found
