"""Who bills, who is billed, and the table of tax rates, in the admin."""

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils import timezone
from stdnum import bic, iban
from unfold.widgets import UnfoldAdminTextareaWidget

from billing.admin_rows import TaxRateRows
from billing.documents.glyphs import not_shown
from billing.models import BillingDetails, BillingSettings, TaxRate
from billing.operations.customers import note_billing_changed
from billing.taxes import may_be_vat_id
from tenants.admin_import import ImportsAndExports
from tenants.admin_pages import ScopedAdmin, ScopedForm, display

_PARTY = (
    "legal_name",
    "street",
    ("postcode", "city"),
    ("region", "country"),
    ("vat_id", "peppol_id"),
    "email",
    "language",
)


class CountryForm(ScopedForm):
    """A country in small letters is that country."""

    def clean_country(self) -> str:
        return str(self.cleaned_data["country"]).upper()


class PartyForm(CountryForm):
    """A party whose VAT id, if it has one, can be one of its country."""

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        vat_id, country = data.get("vat_id", ""), data.get("country", "")
        if not may_be_vat_id(vat_id, country):
            words = f"This is no VAT id of {country}: the form or a check digit is wrong."
            self.add_error("vat_id", words)
        return data


class BillingSettingsForm(PartyForm):
    """A mistyped account would have customers pay nobody."""

    def clean_iban(self) -> str:
        given: str = self.cleaned_data["iban"]
        if given and not iban.is_valid(given):
            raise ValidationError("This is no IBAN: a digit is wrong or missing.")
        return given

    def clean_bic(self) -> str:
        given: str = self.cleaned_data["bic"]
        if given and not bic.is_valid(given):
            raise ValidationError("This is no BIC: it has 8 or 11 letters and digits.")
        return given

    class Meta:
        model = BillingSettings
        exclude: ClassVar[list[str]] = []
        widgets: ClassVar = {"logo_svg": UnfoldAdminTextareaWidget(attrs={"rows": 4})}


class PartyAdmin(ScopedAdmin):
    """Says of what was saved which characters its documents cannot show."""

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        texts = {name: text for name, text in form.cleaned_data.items() if name != "logo_svg"}
        unknown = not_shown("".join(text for text in texts.values() if isinstance(text, str)))
        if unknown:
            messages.warning(
                request,
                f"No font here has {unknown[:40]}: PDFs show \ufffd instead. Put fonts for them "
                "into the folder that DOCUMENT_FONTS names and restart; other files have them all.",
            )


@admin.register(BillingSettings)
class BillingSettingsAdmin(PartyAdmin):
    """One form a tenant."""

    form = BillingSettingsForm
    fieldsets = (
        ("Who bills", {"fields": _PARTY}),
        (
            "On documents",
            {
                "fields": (
                    ("tax_number", "registration"),
                    "phone",
                    ("iban", "bic"),
                    "logo_svg",
                    "colour",
                )
            },
        ),
        ("Numbers", {"fields": ("invoice_series", "credit_note_series", "debit_note_series")}),
        (
            "How invoices go",
            {
                "fields": (
                    "review_days",
                    "payment_term_days",
                    "late_usage",
                    "late_usage_days",
                    "mails_documents",
                )
            },
        ),
        ("Tax", {"fields": ("prices_include_tax", "tax_calculator")}),
        ("Budgets", {"fields": ("customers_may_stop_applications",)}),
    )

    list_display = ("legal_name", "country", "vat_id", "review_days", "late_usage")
    empty_hint = (
        "Say who bills, how numbers look, how long drafts are in review and what becomes of late "
        "usage. Until then drafts wait for you to finalize them."
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        allowed = super().has_add_permission(request)
        return allowed and not self.get_queryset(request).exists()

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class BillingDetailsForm(PartyForm):
    class Meta:
        model = BillingDetails
        exclude: ClassVar[list[str]] = []


@admin.register(BillingDetails)
class BillingDetailsAdmin(PartyAdmin):
    form = BillingDetailsForm
    empty_hint = (
        "A customer's name and address as invoices show them; without them the customer's name "
        "is all that is known, and where you charge tax no invoice can be finalized."
    )
    list_display = ("customer", "legal_name", "country", "vat_id", "currency")
    list_filter = ("country",)
    list_select_related = ("customer",)
    search_fields = ("customer__name", "legal_name", "vat_id")
    fields = ("customer", *_PARTY, "recipients", "currency", ("purchase_order", "buyer_reference"))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return () if obj is None else ("customer",)

    def save_model(
        self, request: HttpRequest, obj: BillingDetails, form: Any, change: bool
    ) -> None:
        super().save_model(request, obj, form, change)
        if form.changed_data:
            names = set(form.changed_data) - {"customer"}
            note_billing_changed(obj.customer, names, as_of=timezone.now())

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(TaxRate)
class TaxRateAdmin(ImportsAndExports, ScopedAdmin):
    """Issued invoices hold the rates that they were taxed by, so a rate may be changed."""

    form = CountryForm
    resource_classes = (TaxRateRows,)
    empty_hint = "Without any rate your invoices bear no tax. Begin with your own country's."
    list_display = ("name", "country", "region", "product_class", "category", "percent", "valid")
    list_filter = ("country", "category")
    fields = (
        "name",
        ("country", "region", "product_class"),
        ("category", "percent"),
        ("valid_from", "valid_to"),
    )

    @display(description="Valid", ordering="valid_from")
    def valid(self, rate: TaxRate) -> str:
        end = "" if rate.valid_to is None else f" to before {rate.valid_to}"
        return f"from {rate.valid_from}{end}"
