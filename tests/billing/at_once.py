"""Two workers doing the same at the same time."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar
from uuid import UUID

from django.db import connection

from tenants.scope import tenant_scope

Result = TypeVar("Result")


def at_once(tenant_id: UUID, *works: Callable[[], Result]) -> list[Result]:
    """Each in a thread and a transaction of its own; results in the order of `works`."""
    barrier = Barrier(len(works), timeout=30)

    def run(work: Callable[[], Result]) -> Result:
        try:
            connection.ensure_connection()
            barrier.wait()
            with tenant_scope(tenant_id):
                return work()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(works)) as pool:
        return [future.result(timeout=60) for future in [pool.submit(run, w) for w in works]]
