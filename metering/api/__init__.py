"""Metering's resources of /api/v1/."""

from typing import Final

from ninja import Router

from metering.api.applications import applications

routers: Final[dict[str, Router]] = {"applications": applications}
