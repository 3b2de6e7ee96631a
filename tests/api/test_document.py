"""The API does what its document says, whatever is sent. The long form is
`python3 manage.py fuzz_api`, which says how many cases there are and where to count them."""

import json
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import pytest
import schemathesis
from django.core.wsgi import get_wsgi_application
from hypothesis import HealthCheck, Phase, given, seed
from hypothesis import settings as terms
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from config.api import api
from tests.api.calling import done, program_of
from tests.api.conftest import Provider

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(0)]

CASES = int(os.environ.get("FUZZ_CASES", "8"))
COUNTS = os.environ.get("FUZZ_COUNTS")
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
DOCUMENT: dict[str, Any] = json.loads(json.dumps(api.get_openapi_schema()))
OPERATIONS = [(path, method) for path, methods in DOCUMENT["paths"].items() for method in methods]


@dataclass
class Tally:
    """Of one operation. A failure does not end the search for others."""

    operation: str
    cases: int = 0
    failures: int = 0
    first: FailureGroup | None = None

    def keep(self) -> None:
        row = {
            "operation": self.operation,
            "cases": self.cases,
            "failures": self.failures,
        }
        if COUNTS is not None:
            with Path(COUNTS).open("a") as file:
                file.write(json.dumps(row) + "\n")


@pytest.mark.parametrize(
    ("path", "method"), OPERATIONS, ids=[f"{method} {path}" for path, method in OPERATIONS]
)
def test_every_answer_is_as_the_document_says(
    path: str, method: str, provider: Provider, settings: Any
) -> None:
    settings.API_REQUESTS_BURST_KEY = settings.API_REQUESTS_BURST_TENANT = 10**7
    schema = schemathesis.openapi.from_dict(DOCUMENT)
    schema.app = _closing_streams
    operation = schema[path][method.upper()]
    program = program_of(provider.tenant)
    headers = {"Authorization": f"Bearer {program.secret}"}
    real = {name: pk for name, pk in provider.ids.items() if isinstance(pk, UUID)}
    if path.endswith(("/documents/{form}", "/proof")):
        # A draft has no files.
        done(program.post(f"/invoices/{provider.invoice.pk}/finalize"))
    tally = Tally(f"{method.upper()} {path}")
    modes = [schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE]

    def run(case: Any, exists: bool) -> None:
        for name, pk in real.items():
            if exists and name in (case.path_parameters or {}):
                case.path_parameters[name] = str(pk)
        tally.cases += 1
        try:
            case.call_and_validate(headers=headers, checks=CHECKS)
        except FailureGroup as failure:
            tally.failures += 1
            tally.first = tally.first or failure

    for mode in modes:
        _fuzzed(operation.as_strategy(generation_mode=mode), run)
    tally.keep()
    if tally.first is not None:
        raise tally.first


@cache
def _application() -> Any:
    return get_wsgi_application()


def _closing_streams(environ: Any, start_response: Any) -> Any:
    """The application; schemathesis does not close what it has read, as a server does."""
    answer: Any = _application()(environ, start_response)
    if not answer.streaming:
        return answer
    try:
        return [b"".join(answer)]
    finally:
        answer.close()


def _fuzzed(cases: Any, run: Any) -> None:
    test = terms(
        max_examples=max(CASES // 2, 1),
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )(seed(1)(given(cases, st.booleans())(run)))
    cast(Any, test)()
