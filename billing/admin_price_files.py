"""A version's prices as a file, and a draft's prices from one, after a look at them."""

from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from unfold.widgets import UnfoldAdminFileFieldWidget

from billing.admin_price_rows import (
    BYTES_MAX,
    ERRORS_SHOWN,
    Change,
    PricesNotReadable,
    changes_of,
    digest_of,
    prices_in,
)
from billing.admin_rows import PriceRows
from billing.documents.files import safe_name
from billing.documents.tabular import csv_rows
from billing.downloads import note_download
from billing.models import PlanVersion
from billing.operations import VersionAlreadyPublished
from billing.operations.drafts import locked_draft, replace_prices
from tenants.admin_pages import ScopedAdmin, action, form_page
from tenants.refusals import sentence

if TYPE_CHECKING:
    _Admin = ScopedAdmin
else:
    _Admin = object


class PricesForm(forms.Form):
    """The file."""

    file = forms.FileField(
        widget=UnfoldAdminFileFieldWidget,
        help_text=f"CSV in UTF-8 with the columns of Download prices, {BYTES_MAX // 1000} kB at "
        "most.",
    )

    def clean_file(self) -> bytes:
        # One byte more than is taken tells that there are too many.
        content: bytes = self.cleaned_data["file"].read(BYTES_MAX + 1)
        return content


class PriceFiles(_Admin):
    """For the versions' admin."""

    def has_prices_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Of whoever may change plans; a version that is published is refused in words."""
        return bool(super().has_change_permission(request))

    @action(description="Download prices", permissions=["view"], url_path="prices")
    def download_prices(self, request: HttpRequest, object_id: str) -> HttpResponse:
        version = self.get_object(request, object_id)
        if version is None:
            return _to_versions()
        rows: Any = PriceRows()
        table = rows.export(PlanVersion.objects.filter(pk=version.pk))
        name = f"prices-{safe_name(version.plan.name)}-v{version.number}.csv"
        answer = HttpResponse(
            "".join(csv_rows(table.headers, table)), content_type="text/csv; charset=utf-8"
        )
        answer["Content-Disposition"] = f'attachment; filename="{name}"'
        note_download(name, customer=None, as_of=timezone.now())
        return answer

    @action(description="Import prices", permissions=["prices"], url_path="import-prices")
    def import_prices(self, request: HttpRequest, object_id: str) -> HttpResponse:
        version = self.get_object(request, object_id)
        if version is None:
            return _to_versions()
        if version.published_at is not None:
            messages.error(request, _published(version))
            return _to(version)
        if "prices" in request.POST:
            return self._confirmed(request, version)
        form = PricesForm(request.POST or None, request.FILES or None)
        if request.method == "POST" and form.is_valid():
            content = form.cleaned_data["file"]
            try:
                changes = changes_of(version, prices_in(content, version))
            except PricesNotReadable as refusal:
                _tell(form, refusal.errors)
            else:
                return self._proposal(request, version, content, changes)
        return self._asking(request, version, form)

    def _asking(self, request: HttpRequest, version: PlanVersion, form: PricesForm) -> HttpResponse:
        return form_page(
            self,
            request,
            form,
            title=f"Import prices into {version}",
            text="The file's prices take the place of the draft's: known ones, by code and "
            "currency, are changed, others added, and what the file has not is removed. You see "
            "first what would change.",
            submit="Look at the changes",
            multipart=True,
        )

    def _proposal(
        self, request: HttpRequest, version: PlanVersion, content: bytes, changes: Sequence[Change]
    ) -> HttpResponse:
        """What would change, and nothing does yet."""
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"Change the prices of {version}?" if changes else "Nothing would change",
            "changes": changes,
            "prices": b64encode(content).decode(),
            "seen": digest_of(changes),
            "version": version,
        }
        return TemplateResponse(request, "admin/hostmeter/price_import_page.html", context)

    def _confirmed(self, request: HttpRequest, version: PlanVersion) -> HttpResponse:
        try:
            draft = locked_draft(version)
            content = b64decode(request.POST["prices"], validate=True)
            prices = prices_in(content, draft)
        except VersionAlreadyPublished:
            messages.error(request, _published(version))
            return _to(version)
        except (NotBase64, PricesNotReadable) as refusal:
            messages.error(request, sentence(refusal)[:1_000])
            return _to(version)
        changes = changes_of(draft, prices)
        if digest_of(changes) != request.POST.get("seen"):
            messages.warning(request, "The draft has changed meanwhile; look again.")
            return self._proposal(request, draft, content, changes)
        replace_prices(draft, prices)
        self.log_change(request, draft, f"Imported prices: {len(changes)} changes.")
        messages.success(request, f"The draft has the file's prices: {len(prices)}.")
        return _to(draft)


def _tell(form: PricesForm, errors: Sequence[str]) -> None:
    for error in errors[:ERRORS_SHOWN]:
        form.add_error(None, f"{error[:1].upper()}{error[1:]}")
    if len(errors) > ERRORS_SHOWN:
        form.add_error(None, f"And {len(errors) - ERRORS_SHOWN:,} more.")


def _published(version: PlanVersion) -> str:
    return f"{version} is published and keeps its prices; draft a new version and import there."


def _to(version: PlanVersion) -> HttpResponseRedirect:
    return HttpResponseRedirect(reverse("admin:billing_planversion_change", args=[version.pk]))


def _to_versions() -> HttpResponseRedirect:
    return HttpResponseRedirect(reverse("admin:billing_planversion_changelist"))
