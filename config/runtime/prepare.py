"""Brings the database to this version, in one Django process: run as a child of `up`.

Its argument is a file to which it appends one JSON object a finished step.
"""

import io
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import django
from django.core.management import CommandError, call_command

from config.translations import compile_translations

_T = TypeVar("_T")


def main(progress: Path, *, wants_token: bool) -> int:
    """Prepare the database; the exit status. A failed command's message is the last line."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    compile_translations()
    django.setup()
    try:
        _step(progress, "roles", lambda: call_command("provision_database", verbosity=0))
        _step(progress, "migrations", lambda: call_command("migrate", verbosity=0))
        demo = _step(progress, "demo data", _seed_demo)
        token = _enrolment_token(demo) if wants_token else None
    except CommandError as error:
        print(str(error).replace("\n", " "), file=sys.stderr)
        return 1
    result = {"users": demo["users"], "token": token, "tenants": _tenants()}
    _append(progress, {"result": result})
    return 0


def _step(progress: Path, name: str, action: Callable[[], _T]) -> _T:
    started_at = time.monotonic()
    outcome = action()
    _append(progress, {"step": name, "seconds": time.monotonic() - started_at})
    return outcome


def _append(path: Path, record: dict[str, Any]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def _output_of(*command: str) -> str:
    output = io.StringIO()
    call_command(*command, stdout=output)
    return output.getvalue().strip().splitlines()[-1]


def _seed_demo() -> dict[str, Any]:
    demo: dict[str, Any] = json.loads(_output_of("seed_demo", "--json"))
    return demo


def _tenants() -> list[str]:
    # Models need a Django that is set up.
    from tenants.models import Tenant
    from tenants.scope import installation_scope

    with installation_scope():
        return list(Tenant.objects.order_by("created_at").values_list("slug", flat=True))


def _enrolment_token(demo: dict[str, Any]) -> str:
    options = ["--tenant", demo["tenant"], "--environment", demo["environment"]]
    return _output_of("enrolment_token", *options)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), wants_token="--token" in sys.argv))
