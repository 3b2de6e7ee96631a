"""How the admin looks and what its sidebar leads to, as Unfold's settings."""

from collections.abc import Callable

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy


def _may_view(permission: str) -> Callable[[HttpRequest], bool]:
    """Whether the sidebar leads somewhere, rather than to a refusal."""
    return lambda request: request.user.has_perm(permission)


UNFOLD = {
    "SITE_TITLE": "Hostmeter",
    "SITE_HEADER": "Hostmeter",
    "SITE_SUBHEADER": "tenants.admin_pages.site_subheader",
    "SITE_URL": "/",
    "SITE_SYMBOL": "speed",
    "SITE_FAVICONS": [
        {
            "rel": "icon",
            "type": "image/svg+xml",
            "href": lambda request: static("portal/mark.svg"),
        },
    ],
    # The portal's blue, from its lightest to its darkest.
    "COLORS": {
        "primary": {
            "50": "#eef3fd",
            "100": "#dbe6fb",
            "200": "#bfd2f8",
            "300": "#94b5f2",
            "400": "#7ea3ee",
            "500": "#6490ea",
            "600": "#1f4fbf",
            "700": "#1b429e",
            "800": "#1a3880",
            "900": "#182f66",
            "950": "#101e41",
        },
    },
    "STYLES": [
        lambda request: static("portal/admin.css"),
        lambda request: static("portal/dashboard.css"),
    ],
    "DASHBOARD_CALLBACK": "billing.admin_dashboard.dashboard",
    "SHOW_HISTORY": False,
    "SIDEBAR": {
        "show_search": True,
        "navigation": [
            {
                "title": "Start",
                "items": [
                    {
                        "title": "First steps",
                        "icon": "checklist",
                        "link": reverse_lazy("admin-first-steps"),
                        "badge": "billing.admin_guide.how_far",
                        "badge_variant": "primary",
                        "permission": "billing.admin_guide.is_under_way",
                    },
                ],
            },
            {
                "title": "Metering",
                "items": [
                    {
                        "title": "Hosts",
                        "icon": "dns",
                        "link": reverse_lazy("admin:metering_host_changelist"),
                        "permission": _may_view("metering.view_host"),
                    },
                    {
                        "title": "Applications",
                        "icon": "apps",
                        "link": reverse_lazy("admin:metering_application_changelist"),
                        "permission": _may_view("metering.view_application"),
                    },
                    {
                        "title": "Usage as a file",
                        "icon": "download",
                        "link": reverse_lazy("admin-usage-export"),
                        "permission": _may_view("metering.view_application"),
                    },
                    {
                        "title": "Corrections",
                        "icon": "edit_note",
                        "link": reverse_lazy("admin:metering_correction_changelist"),
                        "permission": _may_view("metering.view_correction"),
                    },
                    {
                        "title": "Allocation rules",
                        "icon": "call_split",
                        "link": reverse_lazy("admin:metering_allocationrule_changelist"),
                        "permission": _may_view("metering.view_allocationrule"),
                    },
                    {
                        "title": "Agent settings",
                        "icon": "tune",
                        "link": reverse_lazy("admin:metering_agentsettings_changelist"),
                        "permission": _may_view("metering.view_agentsettings"),
                    },
                ],
            },
            {
                "title": "Customers",
                "items": [
                    {
                        "title": "Customers",
                        "icon": "groups",
                        "link": reverse_lazy("admin:tenants_customer_changelist"),
                        "permission": _may_view("tenants.view_customer"),
                    },
                    {
                        "title": "Environments",
                        "icon": "deployed_code",
                        "link": reverse_lazy("admin:tenants_environment_changelist"),
                        "permission": _may_view("tenants.view_environment"),
                    },
                    {
                        "title": "Policies",
                        "icon": "policy",
                        "link": reverse_lazy("admin:tenants_policy_changelist"),
                        "permission": _may_view("tenants.view_policy"),
                    },
                    {
                        "title": "Limit breaches",
                        "icon": "block",
                        "link": reverse_lazy("admin:metering_policybreach_changelist"),
                        "permission": _may_view("metering.view_policybreach"),
                    },
                ],
            },
            {
                "title": "Billing",
                "items": [
                    {
                        "title": "Plans",
                        "icon": "sell",
                        "link": reverse_lazy("admin:billing_plan_changelist"),
                        "permission": _may_view("billing.view_plan"),
                    },
                    {
                        "title": "Subscriptions",
                        "icon": "autorenew",
                        "link": reverse_lazy("admin:billing_subscription_changelist"),
                        "permission": _may_view("billing.view_subscription"),
                    },
                    {
                        "title": "Customers' own prices",
                        "icon": "handshake",
                        "link": reverse_lazy("admin:billing_priceoverride_changelist"),
                        "permission": _may_view("billing.view_priceoverride"),
                    },
                    {
                        "title": "Discounts",
                        "icon": "percent",
                        "link": reverse_lazy("admin:billing_discount_changelist"),
                        "permission": _may_view("billing.view_discount"),
                    },
                    {
                        "title": "Minimums",
                        "icon": "vertical_align_bottom",
                        "link": reverse_lazy("admin:billing_planterms_changelist"),
                        "permission": _may_view("billing.view_planterms"),
                    },
                    {
                        "title": "Invoices",
                        "icon": "receipt_long",
                        "link": reverse_lazy("admin:billing_invoice_changelist"),
                        "permission": _may_view("billing.view_invoice"),
                    },
                    {
                        "title": "Disputes",
                        "icon": "gavel",
                        "link": reverse_lazy("admin:billing_dispute_changelist"),
                        "permission": _may_view("billing.view_dispute"),
                    },
                    {
                        "title": "Billing runs",
                        "icon": "play_circle",
                        "link": reverse_lazy("admin:billing_billingrun_changelist"),
                        "permission": _may_view("billing.view_billingrun"),
                    },
                    {
                        "title": "Finalizings of drafts",
                        "icon": "done_all",
                        "link": reverse_lazy("admin:billing_finalizing_changelist"),
                        "permission": _may_view("billing.view_finalizing"),
                    },
                    {
                        "title": "Dunning steps",
                        "icon": "notifications_active",
                        "link": reverse_lazy("admin:billing_dunningstep_changelist"),
                        "permission": _may_view("billing.view_dunningstep"),
                    },
                    {
                        "title": "Suspensions",
                        "icon": "pause_circle",
                        "link": reverse_lazy("admin:billing_suspension_changelist"),
                        "permission": _may_view("billing.view_suspension"),
                    },
                    {
                        "title": "Payment attempts",
                        "icon": "payments",
                        "link": reverse_lazy("admin:billing_paymentattempt_changelist"),
                        "permission": _may_view("billing.view_paymentattempt"),
                    },
                    {
                        "title": "Refunds",
                        "icon": "undo",
                        "link": reverse_lazy("admin:billing_refund_changelist"),
                        "permission": _may_view("billing.view_refund"),
                    },
                    {
                        "title": "Events from Stripe",
                        "icon": "sync_alt",
                        "link": reverse_lazy("admin:billing_processorevent_changelist"),
                        "permission": _may_view("billing.view_processorevent"),
                    },
                    {
                        "title": "Stripe account",
                        "icon": "credit_card_gear",
                        "link": reverse_lazy("admin:billing_processoraccount_changelist"),
                        "permission": _may_view("billing.view_processoraccount"),
                    },
                    {
                        "title": "Credit grants",
                        "icon": "redeem",
                        "link": reverse_lazy("admin:billing_creditgrant_changelist"),
                        "permission": _may_view("billing.view_creditgrant"),
                    },
                    {
                        "title": "Wallets",
                        "icon": "account_balance_wallet",
                        "link": reverse_lazy("admin:billing_wallet_changelist"),
                        "permission": _may_view("billing.view_wallet"),
                    },
                    {
                        "title": "Budgets",
                        "icon": "savings",
                        "link": reverse_lazy("admin:billing_budget_changelist"),
                        "permission": _may_view("billing.view_budget"),
                    },
                    {
                        "title": "Budget requests",
                        "icon": "contact_support",
                        "link": reverse_lazy("admin:billing_budgetrequest_changelist"),
                        "permission": _may_view("billing.view_budgetrequest"),
                    },
                    {
                        "title": "Ledger",
                        "icon": "account_balance",
                        "link": reverse_lazy("admin:billing_journalentry_changelist"),
                        "permission": _may_view("billing.view_journalentry"),
                    },
                    {
                        "title": "Late usage",
                        "icon": "update",
                        "link": reverse_lazy("admin:billing_lateusage_changelist"),
                        "permission": _may_view("billing.view_lateusage"),
                    },
                    {
                        "title": "Billing details",
                        "icon": "contact_page",
                        "link": reverse_lazy("admin:billing_billingdetails_changelist"),
                        "permission": _may_view("billing.view_billingdetails"),
                    },
                    {
                        "title": "Tax rates",
                        "icon": "percent",
                        "link": reverse_lazy("admin:billing_taxrate_changelist"),
                        "permission": _may_view("billing.view_taxrate"),
                    },
                    {
                        "title": "Billing settings",
                        "icon": "tune",
                        "link": reverse_lazy("admin:billing_billingsettings_changelist"),
                        "permission": _may_view("billing.view_billingsettings"),
                    },
                ],
            },
            {
                "title": "Access",
                "items": [
                    {
                        "title": "Tenants",
                        "icon": "domain",
                        "link": reverse_lazy("admin:tenants_tenant_changelist"),
                        "permission": _may_view("tenants.view_tenant"),
                    },
                    {
                        "title": "Credentials",
                        "icon": "lock",
                        "link": reverse_lazy("admin:metering_host_credentials"),
                        "permission": _may_view("tenants.view_apikey"),
                    },
                    {
                        "title": "Members",
                        "icon": "badge",
                        "link": reverse_lazy("admin:tenants_member_changelist"),
                        "permission": _may_view("tenants.view_member"),
                    },
                    {
                        "title": "Sign-in provider",
                        "icon": "key_visualizer",
                        "link": reverse_lazy("admin:tenants_signinprovider_changelist"),
                        "permission": _may_view("tenants.view_signinprovider"),
                    },
                    {
                        "title": "Exports of everything",
                        "icon": "archive",
                        "link": reverse_lazy("admin:tenants_tenantexport_changelist"),
                        "permission": _may_view("tenants.add_tenantexport"),
                    },
                    {
                        "title": "Audit log",
                        "icon": "history_edu",
                        "link": reverse_lazy("admin:tenants_auditentry_changelist"),
                        "permission": _may_view("tenants.view_auditentry"),
                    },
                    {
                        "title": "Enrolment tokens",
                        "icon": "key",
                        "link": reverse_lazy("admin:tenants_enrolmenttoken_changelist"),
                        "permission": _may_view("tenants.view_enrolmenttoken"),
                    },
                    {
                        "title": "API keys",
                        "icon": "vpn_key",
                        "link": reverse_lazy("admin:tenants_apikey_changelist"),
                        "permission": _may_view("tenants.view_apikey"),
                    },
                    {
                        "title": "E-mails",
                        "icon": "mail",
                        "link": reverse_lazy("admin:tenants_mailmessage_changelist"),
                        "permission": _may_view("tenants.view_mailmessage"),
                    },
                    {
                        "title": "Webhook endpoints",
                        "icon": "webhook",
                        "link": reverse_lazy("admin:tenants_webhookendpoint_changelist"),
                        "permission": _may_view("tenants.view_webhookendpoint"),
                    },
                    {
                        "title": "Webhook deliveries",
                        "icon": "outbox",
                        "link": reverse_lazy("admin:tenants_webhookdelivery_changelist"),
                        "permission": _may_view("tenants.view_webhookdelivery"),
                    },
                ],
            },
        ],
    },
}
