"""What became of hosts, their keys and settings, and of whom applications are billed to.

See tenants.history_models. Of a host what its deliveries change is left out: ingest writes it all
the time.
"""

from metering.control_models import AgentSettings
from metering.models import Assignment, Host, HostKey
from tenants.history_models import history_of_model


class HostChange(
    history_of_model(  # type: ignore[misc]
        Host, "last_seen_at", "last_window_end", "clock_skew_ms", "cpu_count", "memory_bytes"
    )
):
    """Changes of hosts: renamed, moved, retired."""


class HostKeyChange(history_of_model(HostKey, "public_key")):  # type: ignore[misc]
    """Keys registered, confirmed, expired and revoked."""


class AssignmentChange(history_of_model(Assignment)):  # type: ignore[misc]
    """Whom applications were billed to, and who said so."""


class AgentSettingsChange(history_of_model(AgentSettings)):  # type: ignore[misc]
    """What agents were to do."""
