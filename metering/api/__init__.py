"""Metering's resources of /api/v1/."""

from typing import Final

from ninja import Router

from metering.api.allocation import allocation_rules
from metering.api.applications import applications
from metering.api.assignments import assignments
from metering.api.corrections import corrections
from metering.api.environments import environments
from metering.api.events import events
from metering.api.policies import policies
from metering.api.usage import usage

routers: Final[dict[str, Router]] = {
    "applications": applications,
    "whom applications are billed to": assignments,
    "usage": usage,
    "events": events,
    "corrections": corrections,
    "allocation rules": allocation_rules,
    "environments": environments,
    "policies": policies,
}
