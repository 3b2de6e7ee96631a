"""What can be measured on this host, how well, why not better, and what to do about it.

Each check tries what its probe would do and gives one Finding. A probe contributes its own check by
standing in CHECKS.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from hostmeter_agent.config import load_config
from hostmeter_agent.install import doctor_delivery, doctor_host, doctor_kernel
from hostmeter_agent.install.findings import Finding, Place
from hostmeter_agent.install.unit import CONFIG_FILE, STATE_DIRECTORY

Check = Callable[[Place], Finding]

CHECKS: Final[tuple[Check, ...]] = (
    doctor_host.rights,
    doctor_host.processes,
    doctor_host.io_and_descriptors,
    doctor_host.memory,
    doctor_host.cgroups,
    doctor_host.own_cgroups,
    doctor_kernel.exit_records,
    doctor_kernel.process_events,
    doctor_kernel.network,
    doctor_kernel.users,
    doctor_kernel.opens,
    doctor_host.interception,
    doctor_host.access_logs,
    doctor_host.clock,
    doctor_host.descriptor_limit,
    doctor_delivery.spool,
    doctor_delivery.server,
    doctor_delivery.server_clock,
    doctor_delivery.policy,
)

_NEEDED: Final = frozenset({"processes", "spool"})
"""Without these nothing is metered at all."""


def place(state: Path | None, config: Path | None) -> Place:
    """This host, as the service would find it. Raises ConfigInvalid."""
    chosen = config
    if chosen is None and Path(CONFIG_FILE).is_file():
        chosen = Path(CONFIG_FILE)
    load_config(chosen)
    return Place(state or Path(STATE_DIRECTORY), chosen)


def examine(place: Place, checks: Iterable[Check] = CHECKS) -> list[Finding]:
    """Every check's finding, in order. One that fails in an unforeseen way says so as its own."""
    findings = []
    for check in checks:
        try:
            findings.append(check(place))
        except OSError as error:
            name = check.__name__.replace("_", " ")
            reason = f"could not be examined: {error.strerror or error}"
            findings.append(Finding(name, "unavailable", reason))
    return findings


def can_meter(findings: Sequence[Finding]) -> bool:
    return not any(f.name in _NEEDED and f.quality == "unavailable" for f in findings)


def as_lines(findings: Sequence[Finding]) -> list[str]:
    """A line each: name, quality, reason and, after a dash, the remedy."""
    names = max((len(finding.name) for finding in findings), default=0)
    return [
        f"{finding.name:<{names}}  {finding.quality:<11}  {finding.reason}"
        + (f" - {finding.remedy}" if finding.remedy else "")
        for finding in findings
    ]


def as_object(findings: Sequence[Finding]) -> dict[str, object]:
    """For programs: {"can_meter": bool, "findings": [{"name", "quality", "reason", "remedy"}]}."""
    return {
        "can_meter": can_meter(findings),
        "findings": [asdict(finding) for finding in findings],
    }
