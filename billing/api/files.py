"""An issued invoice as files: its documents, and the proof that anyone can recompute."""

from typing import Final
from uuid import UUID

from django.http import HttpResponse
from django.http.response import HttpResponseBase

from billing.api.invoices import visible_invoice
from billing.documents.en16931 import NoEInvoice
from billing.documents.files import FORMS, FormName
from billing.documents.loading import invoice_document
from billing.downloads import document_response, proof_response
from billing.proof.bundle import BundleTooLarge, NotIssued
from tenants.api.caller import ApiRequest
from tenants.api.errors import conflict
from tenants.api.resources import Resources
from tenants.refusals import sentence

files = Resources()

_TYPES: Final = [*dict.fromkeys(form.content_type for form in FORMS.values())]


@files.downloading(
    "/invoices/{uuid:invoice_id}/documents/{form}",
    scope="invoices:read",
    content_types=_TYPES,
    summary="Download an issued invoice: PDF, EN 16931 as CII or UBL, CSV, JSON or FOCUS",
)
def download_document(
    request: ApiRequest,
    invoice_id: UUID,
    form: FormName,
) -> HttpResponse:
    invoice = visible_invoice(request.caller, invoice_id)
    if not invoice.is_issued:
        raise conflict("invoice-not-issued", "It has no number yet; finalize it first.")
    try:
        return document_response(invoice_document(invoice), form)
    except NoEInvoice as missing:
        raise conflict("no-e-invoice", f"{missing}.") from missing


@files.downloading(
    "/invoices/{uuid:invoice_id}/proof",
    scope="invoices:read",
    content_types=["application/zip"],
    streamed=True,
    summary="Download the proof bundle that hostmeter-verify recomputes",
)
def download_proof(request: ApiRequest, invoice_id: UUID) -> HttpResponseBase:
    invoice = visible_invoice(request.caller, invoice_id)
    try:
        return proof_response(invoice, as_of=request.as_of)
    except (NotIssued, BundleTooLarge) as refusal:
        kind = "invoice-not-issued" if isinstance(refusal, NotIssued) else "proof-too-large"
        raise conflict(kind, sentence(refusal)) from refusal
