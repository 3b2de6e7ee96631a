"""The form of a webhook endpoint, as a customer fills it in."""

from typing import Any, Final

from django import forms
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from tenants.outward import URL_LENGTH_MAX, UrlNotUsable, require_usable
from tenants.webhook_models import WebhookEndpoint

# Those of tenants.webhook_events.CUSTOMER_EVENT_TYPES, in a customer's words.
TYPES: Final[dict[str, Promise]] = {
    "usage.threshold": gettext_lazy("a budget has reached a threshold"),
    "invoice.finalized": gettext_lazy("an invoice or note was issued"),
    "invoice.sent": gettext_lazy("an invoice was sent"),
    "invoice.paid": gettext_lazy("an invoice is paid"),
    "invoice.overdue": gettext_lazy("an invoice is overdue"),
    "invoice.voided": gettext_lazy("an invoice was taken back"),
    "customer.suspended": gettext_lazy("our applications are suspended"),
    "customer.resumed": gettext_lazy("our applications go on"),
    "payment.succeeded": gettext_lazy("a payment was received"),
    "payment.failed": gettext_lazy("a payment was declined"),
    "payment.requires_action": gettext_lazy("a payment has to be confirmed"),
    "payment.refunded": gettext_lazy("a payment was given back"),
}


class EndpointForm(forms.Form):
    """Where events are sent, and which."""

    url = forms.CharField(
        label=gettext_lazy("Address"),
        max_length=URL_LENGTH_MAX,
        widget=forms.URLInput(attrs={"placeholder": "https://example.com/hostmeter"}),
        help_text=gettext_lazy("It begins with https:// and lies on the public Internet."),
    )
    description = forms.CharField(
        label=gettext_lazy("What it is for"), max_length=120, required=False
    )
    event_types = forms.MultipleChoiceField(
        label=gettext_lazy("What it is told; nothing chosen means everything"),
        choices=[],
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )

    def __init__(self, endpoint: WebhookEndpoint | None, data: Any = None) -> None:
        initial = {} if endpoint is None else {name: getattr(endpoint, name) for name in _KEPT}
        super().__init__(data, initial=initial)
        self.fields["event_types"].choices = list(TYPES.items())  # type: ignore[attr-defined]

    def clean_url(self) -> str:
        url: str = self.cleaned_data["url"]
        try:
            require_usable(url)
        except UrlNotUsable as refusal:
            raise forms.ValidationError(
                _("Use an address that begins with https:// and lies on the public Internet.")
            ) from refusal
        return url


_KEPT: Final = ("url", "description", "event_types")
