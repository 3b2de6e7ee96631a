"""Where the suite runs in several processes, each has a Redis database of its own.

Loaded before Django's settings, which read the address once. PostgreSQL's database is conftest's.
"""

import os
from typing import Final
from urllib.parse import urlsplit, urlunsplit

_PREFIX: Final = "gw"
"""How pytest-xdist begins the names of its processes: gw0, gw1 and so on."""


def own_database(url: str, worker: str) -> str:
    """The address, with the worker's number for its database's."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{int(worker.removeprefix(_PREFIX))}"))


_worker = os.environ.get("PYTEST_XDIST_WORKER")
if _worker is not None:
    os.environ["REDIS_URL"] = own_database(os.environ["REDIS_URL"], _worker)
