"""An invoice's files in the admin: its documents, its proof, and a draft's marked PDF."""

from typing import TYPE_CHECKING, Any, Final

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import path, reverse
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from billing.documents.en16931 import NoEInvoice
from billing.documents.files import FORMS, file_name
from billing.documents.loading import invoice_document
from billing.downloads import document_response, note_download, proof_name, proof_response
from billing.models import Invoice
from billing.proof.bundle import BundleTooLarge
from tenants.admin_pages import ScopedAdmin, display
from tenants.refusals import sentence

_WORDS: Final = {
    "pdf": "PDF",
    "cii": "XML (CII)",
    "ubl": "XML (UBL)",
    "csv": "CSV",
    "json": "JSON",
    "focus": "FOCUS 1.3",
    "focus-1.4": "FOCUS 1.4",
}
# A draft's other forms would look like an invoice to a program.
_OF_A_DRAFT: Final = {"pdf": "PDF marked as a draft"}

if TYPE_CHECKING:
    _Admin = ScopedAdmin
else:
    _Admin = object


class InvoiceFiles(_Admin):
    """Whoever may see an invoice may have its files."""

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view
        return [
            path(
                "<path:object_id>/documents/<str:form>/",
                view(self.document),
                name="billing_invoice_document",
            ),
            path("<path:object_id>/proof/", view(self.proof), name="billing_invoice_proof"),
            *super().get_urls(),
        ]

    @display(description="Documents")
    def documents(self, invoice: Invoice) -> SafeString:
        words = _WORDS if invoice.is_issued else _OF_A_DRAFT
        links = [(_page("document", invoice, form), said) for form, said in words.items()]
        if invoice.is_issued:
            links.append((_page("proof", invoice), "Proof bundle"))
        return format_html_join(
            " · ",
            '<a href="{}" class="text-primary-600 dark:text-primary-500 whitespace-nowrap">{}</a>',
            links,
        )

    def document(self, request: HttpRequest, object_id: str, form: str) -> HttpResponse:
        invoice = self._visible(request, object_id)
        if form not in (FORMS if invoice.is_issued else _OF_A_DRAFT):
            raise Http404
        try:
            shown = invoice_document(invoice)
            answer = document_response(shown, form)
        except NoEInvoice as missing:
            return self._refuse(request, invoice, f"There is no {_WORDS[form]}: {missing}.")
        _note(file_name(shown, form), invoice)
        return answer

    def proof(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        invoice = self._visible(request, object_id)
        if not invoice.is_issued:
            raise Http404
        try:
            answer = proof_response(invoice, as_of=timezone.now())
        except BundleTooLarge as refusal:
            return self._refuse(request, invoice, sentence(refusal))
        _note(proof_name(invoice.reference), invoice)
        return answer

    def _visible(self, request: HttpRequest, object_id: str) -> Invoice:
        if not self.has_view_permission(request):
            raise PermissionDenied
        invoice: Invoice | None = self.get_object(request, object_id)
        if invoice is None:
            raise Http404
        return invoice

    def _refuse(self, request: HttpRequest, invoice: Invoice, said: str) -> HttpResponse:
        messages.error(request, said)
        return HttpResponseRedirect(_page("change", invoice))


def _page(name: str, invoice: Invoice, *rest: str) -> str:
    return reverse(f"admin:billing_invoice_{name}", args=[invoice.pk, *rest])


def _note(name: str, invoice: Invoice) -> None:
    note_download(name, customer=invoice.customer_id, as_of=timezone.now())
