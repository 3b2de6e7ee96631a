"""An invoice's files as answers: for the portal, the admin and the API."""

import re
from datetime import datetime
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, Final, cast

from django.http import FileResponse, HttpResponse

from billing.documents.document import InvoiceDocument
from billing.documents.files import FORMS, document_file, file_name
from billing.models import Invoice
from billing.proof.bundle import export_proof

_IN_MEMORY_BYTES_MAX: Final = 4 << 20


def document_response(document: InvoiceDocument, form: str) -> HttpResponse:
    """The document in one of the FORMS. Raises documents.en16931.NoEInvoice."""
    response = HttpResponse(document_file(document, form), content_type=FORMS[form].content_type)
    response["Content-Disposition"] = f'attachment; filename="{file_name(document, form)}"'
    return response


def proof_response(invoice: Invoice, *, as_of: datetime) -> FileResponse:
    """The bundle, written while the tenant's scope is open and sent afterwards, so that a large one
    waits on disk. Raises proof.bundle.NotIssued and BundleTooLarge."""
    # The answer closes it, and with that it is gone.
    file = cast(BinaryIO, SpooledTemporaryFile(_IN_MEMORY_BYTES_MAX))  # noqa: SIM115
    try:
        export_proof(invoice, file, as_of=as_of)
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return FileResponse(
        file,
        as_attachment=True,
        filename=proof_name(invoice.reference),
        content_type="application/zip",
    )


def proof_name(reference: str) -> str:
    """A series is free text; a file's name is not."""
    return f"proof-{re.sub('[^A-Za-z0-9_-]+', '-', reference)}.zip"
