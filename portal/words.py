"""Words that come from data: named here, so that they are in the catalog of translations.

Whoever shows one asks gettext for it: `gettext(in_words(quality))`.
"""

from typing import Final

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy
from django.utils.translation import gettext_noop as _

WORDS = (
    # How well something was measured.
    _("exact"), _("sampled"), _("lower bound"), _("estimated"), _("unavailable"), _("not stated"),
    # What an invoice is.
    _("draft"), _("in review"), _("finalized"), _("sent"), _("partly paid"), _("paid"),
    _("overdue"), _("void"), _("uncollectible"),
    _("invoice"), _("credit note"), _("debit note"),
    # What is contested of an invoice, and how it ends.
    _("The usage is not what we used"), _("The price is not what we agreed on"),
    _("It is charged twice"), _("The application is not ours"),
    _("The service did not work in that time"), _("Something else"),
    _("Open"), _("Answered"), _("Resolved"), _("Withdrawn"),
    _("Upheld"), _("Upheld in part"), _("Rejected"),
    # What a line without usage is, and how often it is charged.
    _("usage"), _("recurring"), _("percentage"), _("minimum"), _("true up"), _("discount"),
    _("correction"), _("billing period"), _("week"), _("month"), _("quarter"), _("half-year"),
    _("year"),
    # Why a webhook endpoint is disabled, and why a message was not taken.
    _("nothing was taken for three days"), _("it answered 410: it is gone for good"),
    _("disabled by hand"), _("disabled through the API"), _("disabled by the customer"),
    _("the connection was refused"), _("the connection was closed without an answer"),
    _("what came back is not HTTP"), _("it cannot be reached"), _("no answer within 10 s"),
    # How a host is heard of.
    _("live"), _("silent"), _("retired"), _("waiting"), _("no key"),
    # What an instance is, why nobody looked, and what befell a measurement.
    _("primary"), _("replica"), _("standby"), _("agent stopped"), _("host down"),
    _("host suspended"), _("scan late"), _("probe shed"), _("probe failed"), _("clock step"),
    _("counter reset"), _("coalesced"),
    # How a price counts usage.
    _("sum of a counter"), _("integral of a gauge over time"), _("largest value in the period"),
    # Who someone is.
    _("owner"), _("operator"), _("billing"), _("viewer"),
)  # fmt: skip

ROLES: Final[dict[str, Promise]] = {
    "owner": gettext_lazy("owner"),
    "operator": gettext_lazy("operator"),
    "billing": gettext_lazy("billing"),
    "viewer": gettext_lazy("viewer"),
}
# What a role lets a customer's person do.
ROLE_MEANINGS: Final[dict[str, Promise]] = {
    "owner": gettext_lazy("keeps people, API keys, billing details and payment methods"),
    "billing": gettext_lazy("keeps billing details and payment methods"),
    "viewer": gettext_lazy("reads"),
}
SCOPE_MEANINGS: Final[dict[str, Promise]] = {
    "applications:read": gettext_lazy("applications"),
    "budgets:read": gettext_lazy("budgets and their alerts"),
    "credit:read": gettext_lazy("credit and wallets"),
    "customers:read": gettext_lazy("how it is billed"),
    "invoices:read": gettext_lazy("invoices"),
    "plans:read": gettext_lazy("plans and prices"),
    "subscriptions:read": gettext_lazy("subscriptions, own prices and discounts"),
    "usage:read": gettext_lazy("usage"),
    "webhooks:read": gettext_lazy("webhook endpoints"),
}
# What was done, by the keys of tenants.audit.ACTIONS.
ACTIONS: Final[dict[str, Promise]] = {
    "sign_in": gettext_lazy("Signed in"),
    "sign_in_failed": gettext_lazy("Failed to sign in"),
    "password_changed": gettext_lazy("Changed the password"),
    "password_reset_asked": gettext_lazy("Asked for a link to a new password"),
    "password_reset": gettext_lazy("Chose a new password by a link"),
    "second_factor_added": gettext_lazy("Added a second factor"),
    "second_factor_removed": gettext_lazy("Removed a second factor"),
    "recovery_codes_made": gettext_lazy("Made new recovery codes"),
    "second_factor_required": gettext_lazy("Changed who needs a second factor"),
    "second_factors_reset": gettext_lazy("Removed someone's second factors"),
    "sign_in_provider_changed": gettext_lazy("Changed the sign-in provider"),
    "sign_in_provider_unlinked": gettext_lazy("Unlinked someone from the sign-in provider"),
    "sessions_ended": gettext_lazy("Ended sessions"),
    "member_invited": gettext_lazy("Invited someone"),
    "member_invited_again": gettext_lazy("Invited someone again"),
    "member_joined": gettext_lazy("Accepted an invitation"),
    "member_role_changed": gettext_lazy("Changed a role"),
    "member_removed": gettext_lazy("Removed a member"),
    "api_key_issued": gettext_lazy("Made an API key"),
    "api_key_revoked": gettext_lazy("Revoked an API key"),
    "export_downloaded": gettext_lazy("Downloaded an export"),
    "budget_changed": gettext_lazy("Changed a budget"),
    "billing_details_changed": gettext_lazy("Changed billing details"),
    "payment_method_changed": gettext_lazy("Changed payment methods"),
    "impersonation_started": gettext_lazy("Began to look as the customer"),
    "impersonation_ended": gettext_lazy("Stopped looking as the customer"),
}
