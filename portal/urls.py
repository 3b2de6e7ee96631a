"""The customer's pages. A line's pages stand below their invoice: an address says where it is."""

import re
from datetime import UTC, date, datetime

from django.urls import path, register_converter
from django.views.i18n import set_language
from hostmeter_agent.wire import BUCKET_SECONDS

from billing.documents.files import FORMS
from portal.views import (
    applications,
    audit_log,
    billing_details,
    brand,
    budgets,
    disputes,
    documents,
    hosts,
    invoices,
    lines,
    overview,
    password_reset,
    paying,
    people,
    proofs,
    session,
    team,
    usage,
    webhooks,
)


class DayConverter:
    """A local day as 2026-11-23."""

    regex = r"\d{4}-\d{2}-\d{2}"

    def to_python(self, value: str) -> date:
        return date.fromisoformat(value)

    def to_url(self, value: date) -> str:
        return value.isoformat()


class BucketConverter:
    """The start of a 5-minute bucket in UTC as 20261123T1405Z."""

    regex = r"\d{8}T\d{4}Z"

    def to_python(self, value: str) -> datetime:
        start = datetime.strptime(value, "%Y%m%dT%H%MZ").replace(tzinfo=UTC)
        if start.minute * 60 % BUCKET_SECONDS:
            raise ValueError("no bucket starts there")
        return start

    def to_url(self, value: datetime) -> str:
        return f"{value.astimezone(UTC):%Y%m%dT%H%MZ}"


class MonthConverter:
    """A local month as 2026-11, as its first day."""

    regex = r"\d{4}-\d{2}"

    def to_python(self, value: str) -> date:
        return date.fromisoformat(f"{value}-01")

    def to_url(self, value: date) -> str:
        return f"{value:%Y-%m}"


class FormConverter:
    """How an invoice is written: pdf, cii, csv …"""

    regex = "|".join(map(re.escape, FORMS))

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


class ColourConverter:
    """Six hexadecimal digits: 1f6feb."""

    regex = "[0-9a-f]{6}"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


class ActionConverter:
    """What is done to a webhook endpoint."""

    regex = "rotate|test|disable|enable|remove"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


register_converter(ActionConverter, "action")
register_converter(ColourConverter, "colour")
register_converter(DayConverter, "day")
register_converter(MonthConverter, "month")
register_converter(FormConverter, "form")
register_converter(BucketConverter, "bucket")

_UPCOMING_LINE = "invoices/upcoming/lines/<uuid:price_id>/<uuid:application_id>/"
_STORED_LINE = "invoices/<uuid:invoice_id>/lines/<uuid:line_id>/"

app_name = "portal"
urlpatterns = [
    path("", overview.overview, name="overview"),
    path("sign-in/", session.SignIn.as_view(), name="sign-in"),
    path("sign-out/", session.SignOut.as_view(), name="sign-out"),
    path("join/<str:invitation>/", people.join, name="join"),
    path("forgotten-password/", password_reset.forgotten, name="forgotten"),
    path("forgotten-password/sent/", password_reset.forgotten_sent, name="forgotten-sent"),
    path("forgotten-password/done/", password_reset.reset_done, name="reset-done"),
    path(
        "forgotten-password/<str:uidb64>/<str:token>/",
        password_reset.Reset.as_view(),
        name="reset",
    ),
    path("password/", people.ChangePassword.as_view(), name="password"),
    path("language/", set_language, name="language"),
    path("brand/<colour:colour>.css", brand.brand_style, name="brand-style"),
    path("brand/logo/<str:digest>.svg", brand.brand_logo, name="brand-logo"),
    path("switch/", session.switch, name="switch"),
    path("switch/end/", session.end_impersonation, name="end-impersonation"),
    path("team/", team.team, name="team"),
    path("team/<uuid:member_id>/again/", team.member_invited_again, name="member-again"),
    path("team/<uuid:member_id>/role/", team.member_role, name="member-role"),
    path("team/<uuid:member_id>/remove/", team.member_removed, name="member-remove"),
    path("team/keys/", team.keys, name="keys"),
    path("team/keys/<uuid:key_id>/revoke/", team.key_revoked, name="key-revoke"),
    path("team/log/", audit_log.audit_log, name="audit-log"),
    path("budgets/", budgets.budget_list, name="budgets"),
    path("budgets/new/", budgets.new_budget, name="new-budget"),
    path("budgets/<uuid:budget_id>/", budgets.budget_page, name="budget"),
    path("budgets/<uuid:budget_id>/change/", budgets.edit_budget, name="edit-budget"),
    path("budgets/<uuid:budget_id>/remove/", budgets.delete_budget, name="remove-budget"),
    path("developers/webhooks/", webhooks.endpoint_list, name="webhooks"),
    path("developers/webhooks/new/", webhooks.new_endpoint, name="new-webhook"),
    path("developers/webhooks/<uuid:endpoint_id>/", webhooks.endpoint_page, name="webhook"),
    path(
        "developers/webhooks/<uuid:endpoint_id>/change/",
        webhooks.edit_endpoint,
        name="edit-webhook",
    ),
    path(
        "developers/webhooks/<uuid:endpoint_id>/<action:action>/",
        webhooks.endpoint_action,
        name="webhook-action",
    ),
    path(
        "developers/deliveries/<uuid:delivery_id>/", webhooks.delivery_page, name="webhook-delivery"
    ),
    path("applications/", applications.application_list, name="applications"),
    path("applications/<uuid:application_id>/", applications.application_page, name="application"),
    path("usage/", usage.usage_page, name="usage"),
    path("usage/usage.csv", usage.usage_file, name="usage-file"),
    path("usage/focus.csv", usage.usage_focus, name="usage-focus"),
    path(
        "usage/samples/<uuid:application_id>/<bucket:start>/",
        usage.usage_samples,
        name="usage-samples",
    ),
    path("invoices/", invoices.invoice_list, name="invoices"),
    path("invoices/upcoming/", invoices.upcoming_page, name="upcoming-invoice"),
    path(_UPCOMING_LINE, lines.upcoming_line, name="upcoming-line"),
    path(f"{_UPCOMING_LINE}days/<day:day>/", lines.upcoming_line_day, name="upcoming-line-day"),
    path(
        f"{_UPCOMING_LINE}buckets/<bucket:start>/",
        lines.upcoming_line_bucket,
        name="upcoming-line-bucket",
    ),
    path(
        "invoices/upcoming/charges/<slug:key>/",
        lines.upcoming_line_without_usage,
        name="upcoming-charge",
    ),
    path("invoices/<uuid:invoice_id>/", invoices.invoice_page, name="invoice"),
    path("invoices/<uuid:invoice_id>/pay/", paying.pay, name="pay"),
    path("invoices/<uuid:invoice_id>/payment/", paying.payment, name="payment"),
    path("hosts/", hosts.host_list, name="hosts"),
    path("hosts/enrol/", hosts.enrol, name="enrol-host"),
    path("hosts/enrolments/<uuid:token_id>/", hosts.enrolment, name="host-enrolment"),
    path(
        "hosts/enrolments/<uuid:token_id>/state/",
        hosts.enrolment_state,
        name="host-enrolment-state",
    ),
    path(
        "hosts/enrolments/<uuid:token_id>/revoke/",
        hosts.revoke_token,
        name="revoke-host-token",
    ),
    path(
        "hosts/<uuid:host_id>/keys/<uuid:key_id>/revoke/",
        hosts.revoke_key,
        name="revoke-host-key",
    ),
    path("billing/", billing_details.billing_page, name="billing"),
    path("payment-methods/", paying.payment_methods, name="payment-methods"),
    path("payment-methods/add/", paying.add_payment_method, name="add-payment-method"),
    path("payment-methods/change/", paying.change_payment_method, name="change-payment-method"),
    path("invoices/<uuid:invoice_id>/proof/", proofs.proof_page, name="invoice-proof"),
    path(
        "invoices/<uuid:invoice_id>/proof/bundle.zip",
        proofs.proof_bundle,
        name="invoice-proof-bundle",
    ),
    path("proof/hostmeter.pyz", proofs.verifier, name="verifier"),
    path(
        "invoices/<uuid:invoice_id>/documents/<form:form>/",
        documents.document,
        name="invoice-document",
    ),
    path("invoices/focus/<month:month>/", documents.focus_month, name="focus-month"),
    path(_STORED_LINE, lines.invoice_line, name="invoice-line"),
    path(f"{_STORED_LINE}dispute/", disputes.line_dispute, name="line-dispute"),
    path(f"{_STORED_LINE}dispute/withdraw/", disputes.withdraw, name="withdraw-dispute"),
    path(f"{_STORED_LINE}days/<day:day>/", lines.invoice_line_day, name="invoice-line-day"),
    path(
        f"{_STORED_LINE}buckets/<bucket:start>/",
        lines.invoice_line_bucket,
        name="invoice-line-bucket",
    ),
]
