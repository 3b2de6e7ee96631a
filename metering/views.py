"""The agents' interface: enrolment and ingest, as the wire contract has them."""

from collections.abc import Collection
from datetime import datetime
from functools import partial
from hashlib import sha256
from http import HTTPStatus

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from metering import enrolment
from metering.bodies import inflate
from metering.endpoints import (
    content_coding,
    endpoint,
    json_answer,
    require_plain_json,
    signed_body,
    signed_host,
)
from metering.ingest import store_batch, unknown_environments
from metering.known_hosts import KnownHost, known_hosts
from metering.rates import count_samples
from metering.wire_body import decode_batch
from tenants.bodies import body_of, problem_response
from tenants.problems import Problem


@csrf_exempt
def unknown_endpoint(request: HttpRequest) -> HttpResponse:
    return problem_response(request, Problem(HTTPStatus.NOT_FOUND, "There is nothing here."))


@endpoint("POST")
def enrol(request: HttpRequest) -> HttpResponse:
    """POST /api/v1/hosts/enrol"""
    require_plain_json(request)
    body = body_of(request, enrolment.BODY_BYTES_MAX)
    now = timezone.now()
    host = enrolment.enrol_host(enrolment.decode_application(body), as_of=now)
    return json_answer(
        {
            "host": str(host.host_id),
            "key_id": host.key_id,
            "server_time": now.isoformat().replace("+00:00", "Z"),
        },
        HTTPStatus.CREATED,
    )


@endpoint("POST")
def batches(request: HttpRequest) -> HttpResponse:
    """POST /api/v1/batches"""
    now = timezone.now()
    _, proof = signed_host(request, as_of=now)
    coding = content_coding(request)
    host, body = signed_body(request, proof, as_of=now)
    inflated = inflate(body, coding)
    batch = decode_batch(
        inflated, as_of=now, environments=partial(_environments, host, proof.key_id, now)
    )
    if unknown_environments(batch, host):
        # It may have been given to the host within the last minute.
        host = known_hosts.fresh_host_of(proof.key_id, as_of=now) or host
    count_samples(host, batch.samples, as_of=now)
    receipt = store_batch(
        host, proof, batch, digest=sha256(inflated).digest() if coding else proof.sha256, as_of=now
    )
    return json_answer(
        {"stored": receipt.stored, "duplicate": receipt.duplicate, "sequence": receipt.sequence}
    )


def _environments(host: KnownHost, key_id: str, as_of: datetime) -> Collection[str]:
    return (known_hosts.fresh_host_of(key_id, as_of=as_of) or host).environments
