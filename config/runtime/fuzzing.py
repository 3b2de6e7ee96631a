"""`manage.py fuzz_api`: made-up requests to every operation of the API's document."""

import json
import os
import tempfile
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from config.runtime.arguments import OneLineParser
from config.runtime.failure import CannotRun
from config.runtime.testing import run_tests

_CASES_MAX: Final = 1_000_000
_TEST: Final = "tests/api/test_document.py"


def fuzz_api(arguments: Sequence[str]) -> int:
    """Send each operation so many requests, on servers of its own; 0 where every answer was as the
    document says. Raises CannotRun."""
    parser = OneLineParser("manage.py fuzz_api")
    parser.add_argument(
        "--cases", type=int, default=3_000, metavar="N", help="an operation (default: 3000)"
    )
    parser.add_argument(
        "--only", default="", metavar="WORDS", help='operations such as "post and wallets"'
    )
    options = parser.parse_args(arguments)
    if not 2 <= options.cases <= _CASES_MAX:
        parser.error(f"--cases is 2 to {_CASES_MAX}")
    if find_spec("schemathesis") is None:
        raise CannotRun("fuzz_api needs schemathesis; it is in requirements-dev.txt")
    with tempfile.TemporaryDirectory() as folder:
        counts = Path(folder, "counts")
        os.environ |= {"FUZZ_CASES": str(options.cases), "FUZZ_COUNTS": str(counts)}
        status = run_tests([_TEST, "-v", "--tb=short", "--no-header", "-rN", "-k", options.only])
        rows = counts.read_text().splitlines() if counts.exists() else []
    print("\n".join(closing_table([json.loads(row) for row in rows])))
    return status


def closing_table(rows: Iterable[dict[str, Any]]) -> list[str]:
    """Lines: an operation with its cases and failures each, and their sum."""
    rows = [*rows]
    total = {
        "operation": f"{len(rows)} operations",
        "cases": sum(row["cases"] for row in rows),
        "failures": sum(row["failures"] for row in rows),
    }
    width = max(len(row["operation"]) for row in [*rows, total])
    shown = [
        f"{row['operation']:<{width}}  {row['cases']:>9,}  {row['failures']:>8,}"
        for row in [*rows, total]
    ]
    return [f"{'operation':<{width}}  {'cases':>9}  {'failures':>8}", *shown]
