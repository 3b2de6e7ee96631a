"""What was over the limits of policies, in the admin."""

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from metering.breach_models import PolicyBreach
from metering.policy_words import in_units
from tenants.admin_pages import ReadOnlyAdmin, display, in_words

_GOES_ON = "goes on"


@admin.register(PolicyBreach)
class PolicyBreachAdmin(ReadOnlyAdmin):
    empty_hint = (
        "Nothing was over a limit. Limits stand in the versions of policies; what is over them is "
        "listed here within ten minutes."
    )
    list_display = ("who", "term", "state", "shown_measured", "shown_limit", "shown_host",
                    "customer", "first_over_at", "shown_over")  # fmt: skip
    list_filter = ("standing", "term", "environment", "customer")
    list_select_related = ("version__policy", "environment", "application", "host", "customer")
    search_fields = ("application__name", "customer__name", "host__name")
    fields = ("who", "environment", "shown_host", "customer", "term", "state", "shown_measured",
              "shown_limit", "rule", "day", "first_over_at", "last_over_at", "shown_over",
              "noticed_at", "what_happens")  # fmt: skip
    readonly_fields = fields

    @display(description="Who")
    def who(self, breach: PolicyBreach) -> str:
        return str(breach.application or f"all of {breach.customer}")

    @display(description="State", label={_GOES_ON: "danger", "over": "info"})
    def state(self, breach: PolicyBreach) -> str:
        return _GOES_ON if breach.standing else "over"

    @display(description="Measured", ordering="measured")
    def shown_measured(self, breach: PolicyBreach) -> str:
        return _figure(breach, breach.measured)

    @display(description="Limit", ordering="limit")
    def shown_limit(self, breach: PolicyBreach) -> str:
        if breach.term == PolicyBreach.Term.RULES:
            return "may not run"
        return _figure(breach, breach.limit)

    @display(description="Host")
    def shown_host(self, breach: PolicyBreach) -> str:
        return str(breach.host or "all together")

    @display(description="Time over")
    def shown_over(self, breach: PolicyBreach) -> str:
        if breach.is_of_money:
            return "-"
        return in_words(timedelta(minutes=5) * breach.buckets_over)

    @display(description="Stated in")
    def rule(self, breach: PolicyBreach) -> SafeString:
        page = reverse("admin:tenants_policyversion_change", args=[breach.version_id])
        return format_html('<a class="underline" href="{}">{}</a>', page, breach.version)

    @display(description="What happens")
    def what_happens(self, breach: PolicyBreach) -> str:
        if breach.is_of_money or breach.term in {"rules", "open_files_max", "users_max"}:
            return "It is listed here and told to your webhooks. It goes on and is billed."
        if breach.version.enforced:
            return (
                "It is listed here and told. Hosts with cgroups of their own hold it to the limit."
            )
        return "It is listed here and told. It goes on; the version does not have it held."


def _figure(breach: PolicyBreach, value: Any) -> str:
    if value is None:
        return "-"
    if breach.is_of_money:
        return f"{in_units(breach.term, value)} {breach.version.spend_currency}"
    return in_units(breach.term, int(value))
