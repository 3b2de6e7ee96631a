"""The proof of an issued invoice, and what an auditor recomputes it with."""

from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from billing.downloads import note_download, proof_name, proof_response
from billing.proof.bundle import BundleTooLarge, NotIssued
from billing.proof.keys import fingerprint, proof_key, public_keys
from billing.proof.verifier import FILE_NAME, build_verifier
from portal.access import Reader, customer_page
from portal.queries import invoices_of


@customer_page
@require_safe
def proof_page(request: HttpRequest, reader: Reader, invoice_id: UUID) -> HttpResponse:
    invoice = get_object_or_404(invoices_of(reader.customer), pk=invoice_id)
    if invoice.finalized_at is None:
        raise Http404
    key = proof_key(as_of=reader.as_of).public_key().public_bytes_raw()
    former = [(each, since) for each, since in public_keys() if each != key]
    context = {
        "reader": reader,
        "section": "invoices",
        "invoice": invoice,
        "file_name": proof_name(invoice.reference),
        "verifier": FILE_NAME,
        "key": key.hex(),
        "fingerprint": fingerprint(key),
        "former": [(each.hex(), since) for each, since in former],
    }
    return render(request, "portal/proof.html", context)


@customer_page
@require_safe
def proof_bundle(request: HttpRequest, reader: Reader, invoice_id: UUID) -> HttpResponseBase:
    invoice = get_object_or_404(invoices_of(reader.customer), pk=invoice_id)
    try:
        answer = proof_response(invoice, as_of=reader.as_of)
    except NotIssued as absent:
        raise Http404 from absent
    except BundleTooLarge as refusal:
        context = {"reader": reader, "section": "invoices", "invoice": invoice, "refusal": refusal}
        return render(request, "portal/no_proof.html", context, status=409)
    name = proof_name(invoice.reference)
    note_download(name, customer=reader.customer.pk, as_of=reader.as_of)
    return answer


@customer_page
@require_safe
def verifier(request: HttpRequest, reader: Reader) -> HttpResponse:
    answer = HttpResponse(build_verifier(), "application/octet-stream")
    answer.headers["Content-Disposition"] = f'attachment; filename="{FILE_NAME}"'
    return answer
