"""An invoice's files as answers: for the portal, the admin and the API."""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, Final, cast
from uuid import UUID

from django.http import FileResponse, HttpResponse

from billing.documents.document import InvoiceDocument
from billing.documents.files import FORMS, document_file, file_name, safe_name
from billing.models import Invoice
from billing.proof.bundle import export_proof
from tenants.audit import note

_IN_MEMORY_BYTES_MAX: Final = 4 << 20


def document_response(document: InvoiceDocument, form: str) -> HttpResponse:
    """The document in one of the FORMS. Raises documents.en16931.NoEInvoice."""
    response = HttpResponse(document_file(document, form), content_type=FORMS[form].content_type)
    response["Content-Disposition"] = f'attachment; filename="{file_name(document, form)}"'
    return response


def proof_response(invoice: Invoice, *, as_of: datetime) -> FileResponse:
    """The bundle. Raises proof.bundle.NotIssued and BundleTooLarge."""
    return spooled_response(
        partial(export_proof, invoice, as_of=as_of),
        proof_name(invoice.reference),
        "application/zip",
    )


def spooled_response(
    write: Callable[[BinaryIO], None], name: str, content_type: str
) -> FileResponse:
    """A file that is written while the tenant's scope is open and sent afterwards, so that a large
    one waits on disk. Raises what `write` raises."""
    # The answer closes it, and with that it is gone.
    file = cast(BinaryIO, SpooledTemporaryFile(_IN_MEMORY_BYTES_MAX))  # noqa: SIM115
    try:
        write(file)
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return FileResponse(file, as_attachment=True, filename=name, content_type=content_type)


def note_download(name: str, *, customer: UUID | None, as_of: datetime) -> None:
    """In the audit log: who took which file away."""
    note("export_downloaded", as_of=as_of, customer=customer, subject=name)


def proof_name(reference: str) -> str:
    return f"proof-{safe_name(reference)}.zip"
