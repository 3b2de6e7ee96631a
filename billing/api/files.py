"""An issued invoice as files: its documents, and the proof that anyone can recompute."""

import re
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, Final, Literal, cast
from uuid import UUID

from django.http import FileResponse, HttpResponse
from django.http.response import HttpResponseBase

from billing.api.invoices import visible_invoice
from billing.documents.en16931 import NoEInvoice
from billing.documents.files import FORMS, document_file, file_name
from billing.documents.loading import invoice_document
from billing.proof.bundle import BundleTooLarge, NotIssued, export_proof
from tenants.api.caller import ApiRequest
from tenants.api.errors import conflict
from tenants.api.resources import Resources

files = Resources()

_IN_MEMORY_BYTES_MAX: Final = 4 << 20
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
    form: Literal["pdf", "cii", "ubl", "csv", "json", "focus"],
) -> HttpResponse:
    invoice = visible_invoice(request.caller, invoice_id)
    if not invoice.is_issued:
        raise conflict("invoice-not-issued", "It has no number yet; finalize it first.")
    document = invoice_document(invoice)
    try:
        content = document_file(document, form)
    except NoEInvoice as missing:
        raise conflict("no-e-invoice", f"{missing}.") from missing
    response = HttpResponse(content, content_type=FORMS[form].content_type)
    response["Content-Disposition"] = f'attachment; filename="{file_name(document, form)}"'
    return response


@files.downloading(
    "/invoices/{uuid:invoice_id}/proof",
    scope="invoices:read",
    content_types=["application/zip"],
    summary="Download the proof bundle that hostmeter-verify recomputes",
)
def download_proof(request: ApiRequest, invoice_id: UUID) -> HttpResponseBase:
    invoice = visible_invoice(request.caller, invoice_id)
    # The answer closes it, and with that it is gone.
    file = cast(BinaryIO, SpooledTemporaryFile(_IN_MEMORY_BYTES_MAX))  # noqa: SIM115
    try:
        export_proof(invoice, file, as_of=request.as_of)
    except (NotIssued, BundleTooLarge) as refusal:
        file.close()
        kind = "invoice-not-issued" if isinstance(refusal, NotIssued) else "proof-too-large"
        raise conflict(kind, f"{refusal}.") from refusal
    file.seek(0)
    name = f"proof-{re.sub('[^A-Za-z0-9_-]+', '-', invoice.reference)}.zip"
    return FileResponse(file, as_attachment=True, filename=name, content_type="application/zip")
