"""What became of records: a row for each change, written by the database's triggers.

The rows are tenant data like any other, closed by row-level security with the tenant in their key,
and only ever added: a trigger refuses to change or delete one. Secrets' hashes and what changes by
itself, such as when a key was last used, are left out.
"""

from typing import Any

import pghistory
from django.db import models
from pghistory.models import Event

from tenants.models import ApiKey, Customer, EnrolmentToken, Environment, Policy
from tenants.policy_models import PolicyVersion


class KeptChange(Event):
    """One change of one record, as it was afterwards; before, where it was deleted."""

    pgh_id = models.BigAutoField(primary_key=True)

    class Meta:
        abstract = True


def history_of_model(model: type[models.Model], *exclude: str) -> Any:
    """The abstract model of `model`'s changes; of what is excluded a change is none."""
    return pghistory.create_event_model(
        model,
        pghistory.InsertEvent(),
        pghistory.UpdateEvent(),
        pghistory.DeleteEvent(),
        exclude=list(exclude),
        obj_field=pghistory.ObjForeignKey(related_name="+"),
        context_field=pghistory.ContextJSONField(),
        context_id_field=None,  # type: ignore[arg-type]
        append_only=True,
        base_model=KeptChange,
    )


class CustomerChange(history_of_model(Customer)):  # type: ignore[misc]
    """Changes of customers."""


class PolicyChange(history_of_model(Policy)):  # type: ignore[misc]
    """Changes of what holds for all versions of a policy."""


class PolicyVersionChange(history_of_model(PolicyVersion)):  # type: ignore[misc]
    """Versions drafted, published, rolled out and taken back."""


class EnvironmentChange(history_of_model(Environment)):  # type: ignore[misc]
    """Changes of environments."""


class EnrolmentTokenChange(history_of_model(EnrolmentToken, "digest")):  # type: ignore[misc]
    """Tokens issued, used and revoked."""


class ApiKeyChange(
    history_of_model(  # type: ignore[misc]
        ApiKey, "digest", "last_used_at", "last_used_from", "minutes_used"
    )
):
    """Keys issued and revoked."""
