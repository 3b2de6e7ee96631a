"""What is measured on every host, and the units that prices of it are quoted in."""

from typing import Literal

from hostmeter_agent.wire import METERS

from billing.core.quantity import units_for
from tenants.api.caller import ApiRequest
from tenants.api.fields import Given
from tenants.api.pages import Page
from tenants.api.resources import Resources

meters = Resources()


class MeterOut(Given):
    """`unit` is that of usage: of a counter what was counted, of a gauge its value times seconds,
    of a maximum its largest value. `priced_in` are the units of prices on the meter's sum,
    integral or maximum; docs/pricing.md has those of percentiles and peaks."""

    name: str
    kind: Literal["counter", "gauge", "maximum"]
    unit: str
    priced_in: list[str]


@meters.reading(
    "/meters",
    scope="usage:read",
    answers=Page[MeterOut],
    summary="List the meters of hosts; those of events are called as the events call them",
)
def list_meters(request: ApiRequest) -> Page[MeterOut]:
    """There are few: all are on the first page."""
    return Page(
        data=[
            MeterOut(
                name=meter.name,
                kind=meter.kind,
                unit=meter.unit,
                priced_in=[unit.name for unit in units_for(meter.name)],
            )
            for meter in METERS
        ],
        next=None,
    )
