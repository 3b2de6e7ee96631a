"""Opening what measures a host: the scanner, the exit records, the probes."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from hostmeter_agent.cgroup.cgroup_files import CgroupFs, parse_mounts
from hostmeter_agent.config import Config
from hostmeter_agent.interception.intercept import InterceptProbe
from hostmeter_agent.kernel.launches import open_launches
from hostmeter_agent.kernel.network import NetworkProbe
from hostmeter_agent.kernel.opens import open_opens
from hostmeter_agent.measure import baseline as baselines
from hostmeter_agent.measure.budget import DETAILS, Budget, scrape_budget_us
from hostmeter_agent.measure.exits import ExitListener, ExitsUnavailable
from hostmeter_agent.measure.measuring import Measuring
from hostmeter_agent.measure.naming import clean
from hostmeter_agent.measure.probes import Probe
from hostmeter_agent.measure.probing import Probing
from hostmeter_agent.measure.proc import ProcFs
from hostmeter_agent.measure.scan import Scanner
from hostmeter_agent.words import open_words

log = logging.getLogger("hostmeter_agent")


def open_listener() -> ExitListener | None:
    """Exit records, where the kernel gives them to us."""
    try:
        return ExitListener()
    except ExitsUnavailable as error:
        log.warning("no exit records (%s): ended processes are metered by their parents", error)
        return None


def open_scanner(config: Config, proc_root: Path = Path("/proc")) -> tuple[Scanner, ProcFs]:
    proc = ProcFs(proc_root)
    cgroup_fs = CgroupFs(parse_mounts(proc.read("self/mounts", 1 << 20).decode(errors="replace")))
    return Scanner(proc, cgroup_fs, config, os.getpid()), proc


def open_measuring(
    config: Config, *, instance: str, stored: bytes | None, listener: ExitListener | None,
    state: Path | None = None,
) -> Measuring:  # fmt: skip
    """The measuring of this host, from the stored baseline on; without a state directory by what
    can be read and nothing that has to be attached or listened to."""
    scanner, proc = open_scanner(config)
    probes = open_words(config, None) if state is None else open_probes(config, scanner, state)
    return Measuring(
        scanner,
        config,
        boot_id=proc.boot_id(),
        instance=clean(config.instance or instance),
        baseline=baselines.decode(stored) if stored else None,
        listener=listener,
        probing=open_probing(config, probes),
    )


def open_probes(config: Config, scanner: Scanner, state: Path) -> list[Probe]:
    """All of this host. Later ones win: the kernel over the intercepting library, and over both
    what applications themselves say."""
    launches = open_launches(scanner.application_of)
    return [
        launches,
        InterceptProbe(scanner.proc),
        # What ended before a scan saw it is known by its launch, which is read before.
        open_opens(lambda pid: scanner.application_of(pid) or launches.application_of(pid)),
        NetworkProbe(state, scanner.tree.files.mounts, proxies=config.proxies),
        *open_words(config, state),
    ]


def open_probing(config: Config, probes: Sequence[Probe]) -> Probing:
    """Probes within the agent's own limits."""
    budget = Budget(
        [*DETAILS, *(probe.name for probe in probes)],
        cpu_us_max=scrape_budget_us(config.interval_seconds, config.cpu_permille_max),
        memory_bytes_max=config.memory_megabytes_max * 1_000_000,
    )
    return Probing(probes, budget)
