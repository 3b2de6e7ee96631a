"""The one piece of code that says whose data a transaction may see.

Every table with tenant data is under forced row-level security that compares tenant_id with the
setting `hostmeter.tenant_id`. It is set with SET LOCAL semantics, so it ends with the transaction
and never survives on a pooled connection. Web requests, tasks and commands all come through here.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from uuid import UUID

from django.db import connection, transaction

from tenants import authorship

_tenant: ContextVar[UUID | None] = ContextVar("tenant", default=None)


class OutsideTenantScope(Exception):
    """Tenant data was about to be written with no tenant_scope() around it."""


class AnotherTenantScope(Exception):
    """A scope was opened inside the scope of another tenant."""


def current_tenant_id() -> UUID:
    tenant_id = _tenant.get()
    if tenant_id is None:
        raise OutsideTenantScope("open tenants.scope.tenant_scope() first")
    return tenant_id


def _set_local(name: str, value: str) -> None:
    """Together with who acts: triggers keep that with what is changed."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config(%s, %s, true), set_config(%s, %s, true)",
            [name, value, authorship.SETTING, authorship.authorship()],
        )


@contextmanager
def _local_setting(name: str, value: str, before: str = "") -> Iterator[None]:
    # The setting ends with its transaction, and a rollback undoes it; only success inside a larger
    # transaction has to restore what was there before.
    inside_another = connection.in_atomic_block
    with transaction.atomic():
        _set_local(name, value)
        yield
        if inside_another:
            _set_local(name, before)


@contextmanager
def tenant_scope(tenant_id: UUID) -> Iterator[None]:
    """A transaction that sees and writes the data of one tenant only."""
    outer = _tenant.get()
    if outer is not None and outer != tenant_id:
        raise AnotherTenantScope("leave the other tenant's scope first")
    token = _tenant.set(tenant_id)
    try:
        with _local_setting(
            "hostmeter.tenant_id", str(tenant_id), before="" if outer is None else str(outer)
        ):
            yield
    finally:
        _tenant.reset(token)


@contextmanager
def user_scope(user_id: int) -> Iterator[None]:
    """A transaction in which a person also sees their own memberships and those tenants' names."""
    with _local_setting("hostmeter.user_id", str(user_id)):
        yield


@contextmanager
def installation_scope() -> Iterator[None]:
    """A transaction that sees and writes the list of tenants, and nothing inside any of them."""
    with _local_setting("hostmeter.installation", "on"):
        yield
