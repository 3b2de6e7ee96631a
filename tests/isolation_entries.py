"""Which test proves that a route shows one tenant's, and one customer's, data alone.

Every route has an entry; a route without one fails the suite.
"""

_PORTAL = "tests/portal/test_isolation.py"
_ONE = f"{_PORTAL}::TestOnePage::test_of_another_customer_answers_as_if_it_did_not_exist"
_LIST = f"{_PORTAL}::TestLists::test_name_nothing_of_another_customer"
_SESSION = f"{_PORTAL}::TestSession::test_shows_a_stranger_no_ones_data"

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
    "portal:join": f"{_JOINING}::TestPersonOfTwoTenants"
    "::test_a_tenants_invitation_gives_nothing_before_it_is_accepted",
    "portal:password": f"{_JOINING}::TestPassword::test_is_changed_by_its_owner",
    "admin-sign-in": f"{_JOINING}::TestAdminsDoor::test_says_no_to_who_is_no_staff",
    "portal:applications": _LIST,
    "portal:application": _ONE,
    "portal:invoices": _LIST,
    "portal:upcoming-invoice": _LIST,
    "portal:upcoming-line": _ONE,
    "portal:upcoming-line-day": _ONE,
    "portal:upcoming-line-bucket": _ONE,
    "portal:invoice": _ONE,
    "portal:invoice-document": _ONE,
    "portal:focus-month": "tests/portal/test_documents.py"
    "::TestMonth::test_names_nothing_of_another_customer",
    "portal:invoice-line": _ONE,
    "portal:invoice-line-day": _ONE,
    "portal:invoice-line-bucket": _ONE,
}
