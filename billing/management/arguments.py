"""What several commands are given, or a line that says what is wrong with it."""

from datetime import datetime
from uuid import UUID

from django.core.management.base import CommandError

from tenants.models import Tenant
from tenants.scope import installation_scope


def past_instant(name: str, text: str, now: datetime) -> datetime:
    """An instant with an offset that is not in the future."""
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as error:
        raise CommandError(f"{name} is not an ISO 8601 instant: {text!r}") from error
    if instant.tzinfo is None:
        raise CommandError(f"{name} has no offset; 2026-01-01T00:00Z is UTC")
    if instant > now:
        raise CommandError(f"{name} lies in the future; now is {now:%Y-%m-%dT%H:%M:%SZ}")
    return instant


def tenant_id(slug: str) -> UUID:
    """The tenant with this slug."""
    with installation_scope():
        ids = dict(Tenant.objects.values_list("slug", "pk"))
    if slug not in ids:
        raise CommandError(f"no tenant {slug!r}; there are: {', '.join(sorted(ids)) or 'none'}")
    return ids[slug]
