"""Which test proves that a route shows one tenant's, and one customer's, data alone.

Every route has an entry; a route without one fails the suite.
"""

_PORTAL = "tests/portal/test_isolation.py"
_ONE = f"{_PORTAL}::TestOnePage::test_of_another_customer_answers_as_if_it_did_not_exist"
_LIST = f"{_PORTAL}::TestLists::test_name_nothing_of_another_customer"
_SESSION = f"{_PORTAL}::TestSession::test_shows_a_stranger_no_ones_data"

_IMPERSONATION = "tests/portal/test_impersonation.py"
_TEAM = "tests/portal/test_team.py"
_LOOK = "tests/portal/test_look.py"
_JOINING = "tests/portal/test_joining.py"
_INGEST = "tests/metering/test_ingest.py::TestIsolation"
_ENROLMENT = "tests/metering/test_enrolment.py::TestEnrolling"
_CONTROL = "tests/metering/test_host_control.py::TestIsolation"
_NOTHING_THERE = "tests/metering/test_enrolment.py::test_other_addresses_of_the_api_are_unknown"

ISOLATION_TESTS: dict[str, str] = {
    # Knows no tenant: it answers whether the database can be reached.
    "health": "tests/test_every_endpoint_has_isolation.py::test_health_says_nothing_of_anyone",
    "enrol": f"{_ENROLMENT}::test_answers_alike_whatever_is_wrong_with_the_token",
    "batches": f"{_INGEST}::test_a_key_of_another_tenant_is_unknown",
    "host-keys": f"{_CONTROL}::test_a_key_of_another_tenant_replaces_none_here",
    "desired-state": f"{_CONTROL}::test_settings_of_another_tenant_change_nothing_here",
    "applied-state": f"{_CONTROL}::test_a_report_is_kept_with_its_own_host",
    "unknown-endpoint": _NOTHING_THERE,
    "unknown-api": _NOTHING_THERE,
    "portal:overview": _LIST,
    "portal:sign-in": _SESSION,
    "portal:sign-out": _SESSION,
    "portal:switch": _LIST,
    "portal:end-impersonation": f"{_IMPERSONATION}::TestEnding::test_ends_nobody_elses",
    # The first sets a cookie, the second follows from the colour in its address.
    "portal:language": f"{_LOOK}::TestLanguage::test_is_chosen_without_signing_in",
    "portal:brand-style": f"{_LOOK}::TestColour::test_stands_out_from_every_ground",
    "portal:brand-logo": f"{_LOOK}::TestLogo::test_of_another_provider_answers_as_a_missing_one",
    "portal:join": f"{_JOINING}::TestPersonOfTwoTenants"
    "::test_a_tenants_invitation_gives_nothing_before_it_is_accepted",
    "portal:password": f"{_JOINING}::TestPassword::test_is_changed_by_its_owner",
    "admin-sign-in": f"{_JOINING}::TestAdminsDoor::test_says_no_to_who_is_no_staff",
    "portal:team": f"{_TEAM}::TestAnotherCustomers::test_people_and_keys_are_not_named",
    "portal:member-again": f"{_TEAM}::TestAnotherCustomers::test_are_answered_as_missing",
    "portal:member-role": f"{_TEAM}::TestAnotherCustomers::test_are_answered_as_missing",
    "portal:member-remove": f"{_TEAM}::TestAnotherCustomers::test_are_answered_as_missing",
    "portal:keys": f"{_TEAM}::TestAnotherCustomers::test_people_and_keys_are_not_named",
    "portal:key-revoke": f"{_TEAM}::TestAnotherCustomers::test_are_answered_as_missing",
    "portal:audit-log": f"{_TEAM}::TestAnotherCustomers::test_people_and_keys_are_not_named",
    "portal:applications": _LIST,
    "portal:application": _ONE,
    "portal:invoices": _LIST,
    "portal:upcoming-invoice": _LIST,
    "portal:upcoming-charge": _ONE,
    "portal:upcoming-line": _ONE,
    "portal:upcoming-line-day": _ONE,
    "portal:upcoming-line-bucket": _ONE,
    "portal:invoice": _ONE,
    "portal:invoice-proof": _ONE,
    "portal:invoice-proof-bundle": _ONE,
    # The same file for everybody.
    "portal:verifier": "tests/portal/test_proofs.py::TestTheVerifier"
    "::test_is_the_same_file_for_every_customer",
    "portal:invoice-document": _ONE,
    "portal:focus-month": "tests/portal/test_documents.py"
    "::TestMonth::test_names_nothing_of_another_customer",
    "portal:invoice-line": _ONE,
    "portal:invoice-line-day": _ONE,
    "portal:invoice-line-bucket": _ONE,
}

_API = "tests/api/test_isolation.py"
_API_LIST = f"{_API}::test_a_list_names_nothing_of_another_tenant"
_API_ONE = f"{_API}::test_what_another_tenant_has_answers_as_if_it_did_not_exist"
_API_POST = f"{_API}::test_a_post_names_nothing_of_another_tenant"

_API_USAGE = "tests/api/test_usage.py::test_is_that_of_the_callers_own_alone"

# Every operation of the API by its operationId.
API_OPERATIONS: dict[str, str] = {
    "list_environments": _API_LIST,
    "list_applications": _API_LIST,
    "list_instances": _API_LIST,
    "get_application": _API_ONE,
    "list_assignments": _API_LIST,
    "assign": _API_ONE,
    "unassign": _API_ONE,
    # The same for everybody.
    "list_meters": _API_LIST,
    "deliver_events": "tests/api/test_resources.py::TestEvents"
    "::test_of_another_tenants_environment_are_refused",
    "get_usage": _API_USAGE,
    "list_corrections": _API_LIST,
    "get_correction": _API_ONE,
    "create_correction": _API_POST,
    "list_allocation_rules": _API_LIST,
    "get_allocation_rule": _API_ONE,
    "create_allocation_rule": _API_POST,
    "end_allocation_rule": _API_ONE,
    "list_customers": _API_LIST,
    "create_customer": _API_POST,
    "get_customer": _API_ONE,
    "update_customer": _API_ONE,
    "list_plans": _API_LIST,
    "create_plan": _API_POST,
    "get_plan": _API_ONE,
    "publish_version": _API_ONE,
    "get_plan_version": _API_ONE,
    "replace_draft": _API_ONE,
    "remove_draft": _API_ONE,
    "add_price": _API_ONE,
    "replace_price": _API_ONE,
    "remove_price": _API_ONE,
    "publish_a_draft": _API_ONE,
    "backtest_a_version": _API_ONE,
    "list_subscriptions": _API_LIST,
    "create_subscription": _API_POST,
    "get_subscription": _API_ONE,
    "end_a_subscription": _API_ONE,
    "list_own_prices": _API_LIST,
    "create_own_price": _API_POST,
    "get_own_price": _API_ONE,
    "end_own_price": _API_ONE,
    "list_discounts": _API_LIST,
    "create_discount": _API_POST,
    "get_discount": _API_ONE,
    "end_a_discount": _API_ONE,
    "get_upcoming_invoice": _API_ONE,
    "list_invoices": _API_LIST,
    "get_invoice": _API_ONE,
    "download_document": _API_ONE,
    "download_proof": _API_ONE,
    "list_payments": _API_ONE,
    "finalize_an_invoice": _API_ONE,
    "review_an_invoice": _API_ONE,
    "send_an_invoice": _API_ONE,
    "write_an_invoice_off": _API_ONE,
    "void_an_invoice": _API_ONE,
    "record_a_payment": _API_ONE,
    "list_credit_grants": _API_LIST,
    "create_credit_grant": _API_POST,
    "get_credit_grant": _API_ONE,
    "void_credit_grant": _API_ONE,
    "list_webhook_endpoints": _API_LIST,
    "create_webhook_endpoint": _API_POST,
    "get_webhook_endpoint": _API_ONE,
    "update_webhook_endpoint": _API_ONE,
    "remove_webhook_endpoint": _API_ONE,
    "rotate_webhook_secret": _API_ONE,
    "send_webhook_test": _API_ONE,
    "list_webhook_deliveries": _API_ONE,
    "get_webhook_delivery": _API_ONE,
    "replay_webhook_delivery": _API_ONE,
    "list_wallets": _API_LIST,
    "create_wallet": _API_POST,
    "get_wallet": _API_ONE,
    "update_wallet": _API_ONE,
    "list_top_ups": _API_ONE,
    "create_top_up": _API_ONE,
    "get_top_up": _API_ONE,
    "pay_top_up": _API_ONE,
    "fail_top_up": _API_ONE,
}

# A route may answer to several operations; tests/api/test_isolation.py goes through them all.
ISOLATION_TESTS |= {
    "api:openapi": "tests/api/test_answers.py::test_the_document_is_for_everyone",
    # Made from the document alone.
    "api:docs": "tests/api/test_reference.py::test_the_page_describes_every_operation",
    **dict.fromkeys(
        (
            "api:environments",
            "api:applications",
            "api:instances",
            "api:assignments",
            "api:meters",
            "api:corrections",
            "api:allocation-rules",
            "api:customers",
            "api:plans",
            "api:subscriptions",
            "api:invoices",
            "api:credit-grants",
            "api:discounts",
            "api:own-prices",
            "api:wallets",
            "api:webhook-endpoints",
        ),
        _API_LIST,
    ),
    **dict.fromkeys(
        (
            "api:customers-customer-id",
            "api:customers-customer-id-upcoming-invoice",
            "api:plans-plan-id",
            "api:plans-plan-id-versions",
            "api:subscriptions-subscription-id",
            "api:subscriptions-subscription-id-end",
            "api:invoices-invoice-id",
            "api:invoices-invoice-id-finalize",
            "api:invoices-invoice-id-payments",
            "api:invoices-invoice-id-review",
            "api:invoices-invoice-id-send",
            "api:invoices-invoice-id-void",
            "api:invoices-invoice-id-write-off",
            "api:invoices-invoice-id-documents-form",
            "api:invoices-invoice-id-proof",
            "api:corrections-correction-id",
            "api:allocation-rules-rule-id",
            "api:allocation-rules-rule-id-end",
            "api:applications-application-id",
            "api:applications-application-id-assign",
            "api:applications-application-id-unassign",
            "api:discounts-discount-id",
            "api:own-prices-own-price-id",
            "api:top-ups-top-up-id",
            "api:plan-versions-version-id",
            "api:plan-versions-version-id-backtest",
            "api:plan-versions-version-id-prices",
            "api:plan-versions-version-id-prices-price-id",
            "api:plan-versions-version-id-publish",
            "api:credit-grants-grant-id",
            "api:credit-grants-grant-id-void",
            "api:discounts-discount-id-end",
            "api:own-prices-own-price-id-end",
            "api:top-ups-top-up-id-failed",
            "api:top-ups-top-up-id-paid",
            "api:webhook-endpoints-endpoint-id",
            "api:webhook-endpoints-endpoint-id-deliveries",
            "api:webhook-endpoints-endpoint-id-rotate-secret",
            "api:webhook-endpoints-endpoint-id-test",
            "api:webhook-deliveries-delivery-id",
            "api:webhook-deliveries-delivery-id-replay",
            "api:wallets-wallet-id",
            "api:wallets-wallet-id-top-ups",
        ),
        _API_ONE,
    ),
    "api:usage": _API_USAGE,
    "api:events": API_OPERATIONS["deliver_events"],
}
