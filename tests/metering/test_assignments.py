"""An application's usage is billed to one customer at a time."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from metering.models import Application, Assignment
from metering.operations import (
    LaterAssignmentExists,
    assign_application,
    unassign_application,
)
from tenants.models import Customer, Environment

NOW = datetime(2026, 3, 10, 12, 7, 31, tzinfo=UTC)
BUCKET = datetime(2026, 3, 10, 12, 5, tzinfo=UTC)
SEEN = datetime(2026, 3, 1, 8, 2, tzinfo=UTC)


@pytest.fixture
def application(inside: UUID) -> Application:
    return Application.objects.create(
        environment=Environment.objects.get(), name="shop", first_seen_at=SEEN
    )


@pytest.fixture
def customer(inside: UUID) -> Customer:
    return Customer.objects.create(name="First", reference="first")


@pytest.fixture
def other_customer(inside: UUID) -> Customer:
    return Customer.objects.create(name="Second", reference="second")


def intervals(application: Application) -> list[tuple[str, datetime, datetime | None]]:
    rows = Assignment.objects.filter(application=application).order_by("starts_at")
    return [(row.customer.reference, row.starts_at, row.ends_at) for row in rows]


class TestAssigning:
    def test_from_now_starts_with_the_current_bucket(
        self, application: Application, customer: Customer
    ) -> None:
        assign_application(application, customer, "now", as_of=NOW)
        assert intervals(application) == [("first", BUCKET, None)]

    def test_from_first_seen_starts_with_its_first_bucket(
        self, application: Application, customer: Customer
    ) -> None:
        assign_application(application, customer, "first seen", as_of=NOW)
        assert intervals(application) == [("first", datetime(2026, 3, 1, 8, tzinfo=UTC), None)]

    def test_ends_the_assignment_before_it_at_the_same_instant(
        self, application: Application, customer: Customer, other_customer: Customer
    ) -> None:
        assign_application(application, customer, SEEN, as_of=NOW)
        assign_application(application, other_customer, "now", as_of=NOW)
        assert intervals(application) == [
            ("first", datetime(2026, 3, 1, 8, tzinfo=UTC), BUCKET),
            ("second", BUCKET, None),
        ]

    def test_twice_changes_nothing(self, application: Application, customer: Customer) -> None:
        first = assign_application(application, customer, SEEN, as_of=NOW)
        assert assign_application(application, customer, "now", as_of=NOW) == first
        assert len(intervals(application)) == 1

    def test_may_be_corrected_within_the_same_bucket(
        self, application: Application, customer: Customer, other_customer: Customer
    ) -> None:
        assign_application(application, customer, "now", as_of=NOW)
        assign_application(application, other_customer, "now", as_of=NOW)
        assert intervals(application) == [("second", BUCKET, None)]

    def test_is_refused_in_front_of_another_assignment(
        self, application: Application, customer: Customer, other_customer: Customer
    ) -> None:
        assign_application(application, customer, SEEN, as_of=NOW)
        for start in (SEEN, SEEN - timedelta(days=1)):
            with pytest.raises(LaterAssignmentExists):
                assign_application(application, other_customer, start, as_of=NOW)

    def test_is_refused_inside_an_ended_assignment(
        self, application: Application, customer: Customer, other_customer: Customer
    ) -> None:
        assign_application(application, customer, SEEN, as_of=NOW)
        unassign_application(application, as_of=NOW)
        with pytest.raises(LaterAssignmentExists):
            assign_application(application, other_customer, SEEN + timedelta(days=1), as_of=NOW)


class TestUnassigning:
    def test_ends_with_the_current_bucket(
        self, application: Application, customer: Customer
    ) -> None:
        assign_application(application, customer, SEEN, as_of=NOW)
        unassign_application(application, as_of=NOW)
        assert intervals(application)[0][2] == BUCKET

    def test_removes_what_began_in_this_bucket(
        self, application: Application, customer: Customer
    ) -> None:
        assign_application(application, customer, "now", as_of=NOW)
        assert unassign_application(application, as_of=NOW) is None
        assert intervals(application) == []

    def test_of_an_unassigned_application_does_nothing(self, application: Application) -> None:
        assert unassign_application(application, as_of=NOW) is None
