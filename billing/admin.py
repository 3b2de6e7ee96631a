"""Subscriptions in the admin; the rest of billing has modules of its own."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Max
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString

from billing import (  # noqa: F401 they register their pages
    admin_invoices,
    admin_parties,
    admin_plans,
)
from billing.core.periods import bucket_start
from billing.models import Invoice, Subscription
from tenants.admin_pages import ScopedAdmin, ScopedForm, display, name_with_badge
from tenants.models import Customer


class SubscriptionForm(ScopedForm):
    """A customer's plan; never two at a time, and never cut off inside what is invoiced."""

    class Meta:
        model = Subscription
        fields = ("customer", "plan", "cycle", "starts_at", "ends_at")

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        for name in ("starts_at", "ends_at"):
            if data.get(name):
                data[name] = bucket_start(data[name])
        self._require_room(data)
        ends_at = data.get("ends_at")
        last = Invoice.objects.filter(subscription=self.instance.pk).aggregate(
            end=Max("period_end")
        )["end"]
        if ends_at and last and ends_at < last:
            self.add_error("ends_at", f"It is invoiced up to {timezone.localtime(last):%Y-%m-%d}.")
        return data

    def _require_room(self, data: dict[str, Any]) -> None:
        customer = data.get("customer") or getattr(self.instance, "customer", None)
        start = data.get("starts_at") or self.instance.starts_at
        if customer is None or start is None:
            return
        # Of two forms that are sent at once, one waits here and then sees the other's.
        Customer.objects.select_for_update(no_key=True).get(pk=customer.pk)
        others = Subscription.objects.filter(customer=customer).exclude(pk=self.instance.pk)
        if data.get("ends_at"):
            others = others.filter(starts_at__lt=data["ends_at"])
        if others.exclude(ends_at__lte=start).exists():
            raise ValidationError("The customer has another subscription at that time; end it.")


@admin.register(Subscription)
class SubscriptionAdmin(ScopedAdmin):
    form = SubscriptionForm
    empty_hint = "Subscribe a customer to a plan; from its start on their usage is invoiced."
    list_display = ("customer_name", "plan", "cycle", "starts_at", "ends_at")
    list_filter = ("plan", "cycle")
    list_select_related = ("customer", "plan")
    search_fields = ("customer__name", "plan__name")

    @display(description="Customer", ordering="customer__name")
    def customer_name(self, subscription: Subscription) -> SafeString | str:
        return name_with_badge(subscription.customer.name, subscription.customer.generated)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        invoiced = obj is not None and Invoice.objects.filter(subscription=obj).exists()
        return ("customer", "plan", "cycle", "starts_at") if invoiced else ()

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
