"""How a customer is billed, as the customer itself may change it."""

import zoneinfo
from typing import Any, Final

from django import forms
from django.conf import settings
from django.core.validators import validate_email
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from billing.core.currencies import UnknownCurrency, currency_of
from billing.models import BillingDetails
from billing.models.parties import RECIPIENTS_MAX
from billing.queries.parties import billing_currency, billing_details
from billing.taxes import may_be_vat_id
from tenants.models import Customer

_TEXTS: Final = (
    "legal_name", "street", "postcode", "city", "region", "country", "vat_id", "email",
    "purchase_order", "buyer_reference",
)  # fmt: skip


class BillingForm(forms.ModelForm):  # type: ignore[type-arg]  # not generic when it runs
    """An address, a VAT id, and whom invoices are sent to. `fixed` names what only the provider
    changes: those fields are shown and not taken."""

    currency = forms.CharField(
        label=_("Currency"),
        required=False,
        max_length=3,
        help_text=_("Three letters, such as EUR. Left empty, that of your plan."),
    )
    recipients = forms.CharField(
        label=_("Who else gets invoices"),
        required=False,
        max_length=RECIPIENTS_MAX * 256,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=_("E-mail addresses, one on a line, ten at most."),
    )
    language = forms.ChoiceField(label=_("Language of invoices"), choices=settings.LANGUAGES)
    time_zone = forms.ChoiceField(
        label=_("Time zone"),
        choices=[(name, name) for name in sorted(zoneinfo.available_timezones())],
        help_text=_("Billing periods begin at its midnight."),
    )

    class Meta:
        model = BillingDetails
        fields = (*_TEXTS, "recipients", "language", "currency")
        labels = {
            "legal_name": _("Name on invoices"),
            "street": _("Street and number"),
            "postcode": _("Postcode"),
            "city": _("City"),
            "region": _("Region"),
            "country": _("Country"),
            "vat_id": _("VAT id"),
            "email": _("E-mail for invoices"),
            "purchase_order": _("Purchase-order number"),
            "buyer_reference": _("Buyer reference"),
        }
        help_texts = {
            "region": _("Where taxes depend on it: CA, BY."),
            "country": _("Two letters: DE, AT, US."),
            "purchase_order": _("Stands on your next invoices."),
            "buyer_reference": _("What public buyers are addressed by: a Leitweg-ID."),
        }

    # What stands together on the page.
    groups_of_fields: Final = (
        (_("Address"), ("legal_name", "street", "postcode", "city", "region", "country")),
        (_("On your invoices"), ("vat_id", "purchase_order", "buyer_reference", "language")),
        (_("Who gets them"), ("email", "recipients")),
        (_("How they are counted"), ("currency", "time_zone")),
    )

    @property
    def groups(self) -> list[tuple[Any, list[forms.BoundField]]]:
        """(heading, fields), in their order on the page."""
        return [(head, [self[name] for name in names]) for head, names in self.groups_of_fields]

    def __init__(self, customer: Customer, fixed: frozenset[str], data: Any = None) -> None:
        details = billing_details(customer)
        super().__init__(data, instance=details)
        self.initial["recipients"] = "\n".join(details.recipients)
        self.initial["time_zone"] = customer.time_zone
        for name in fixed:
            self.fields[name].disabled = True
        if "currency" in fixed:
            self.initial["currency"] = billing_currency(customer)
        zone = self.fields["time_zone"]
        if "time_zone" in fixed and isinstance(zone, forms.ChoiceField):
            # Six hundred that cannot be chosen are not listed.
            zone.choices = [(customer.time_zone, customer.time_zone)]

    def clean_country(self) -> str:
        return str(self.cleaned_data["country"]).upper()

    def clean_currency(self) -> str:
        code = str(self.cleaned_data["currency"] or "").upper()
        if code:
            try:
                currency_of(code)
            except UnknownCurrency as refusal:
                raise forms.ValidationError(gettext("There is no such currency.")) from refusal
        return code

    def clean_recipients(self) -> list[str]:
        given = self.cleaned_data["recipients"].replace(",", "\n").splitlines()
        wanted = list(dict.fromkeys(each.strip() for each in given if each.strip()))
        if len(wanted) > RECIPIENTS_MAX:
            raise forms.ValidationError(
                gettext("Name %(most)s addresses at most.") % {"most": RECIPIENTS_MAX}
            )
        for each in wanted:
            try:
                validate_email(each)
            except forms.ValidationError as refusal:
                raise forms.ValidationError(
                    gettext("%(address)s is no e-mail address.") % {"address": each[:60]}
                ) from refusal
        return wanted

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        vat_id, country = data.get("vat_id") or "", data.get("country") or ""
        if not may_be_vat_id(vat_id, country):
            words = gettext("This is no VAT id of %(country)s: the form or a digit is wrong.")
            self.add_error("vat_id", words % {"country": country or gettext("any country")})
        return data

    def _post_clean(self) -> None:
        """The operation writes what was given; the form has no row to save."""
