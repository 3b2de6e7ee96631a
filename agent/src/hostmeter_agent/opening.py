"""Opening what measures a host: the scanner, the exit records, the probes."""

import logging
import os
from collections.abc import Callable
from pathlib import Path

from hostmeter_agent.cgroup.cgroup_files import CgroupFs, parse_mounts
from hostmeter_agent.config import Config
from hostmeter_agent.interception.intercept import InterceptProbe
from hostmeter_agent.kernel.connections import ConnectionsProbe
from hostmeter_agent.kernel.launches import LaunchesProbe, NoLaunches, open_launches
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
from hostmeter_agent.words import word_probes

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
    state: Path | None = None, pinned: bool = True,
) -> Measuring:  # fmt: skip
    """The measuring of this host, from the stored baseline on; without a state directory by what
    can be read and nothing that has to be attached or listened to.

    pinned: what counts in the kernel goes on counting while the agent is stopped.
    """
    scanner, proc = open_scanner(config)
    openers = word_probes(config, state)
    if state is not None:
        openers = kernel_probes(config, scanner, state if pinned else None) | openers
    budget = Budget(
        [*DETAILS, *openers],
        cpu_us_max=scrape_budget_us(config.interval_seconds, config.cpu_permille_max),
        memory_bytes_max=config.memory_megabytes_max * 1_000_000,
    )
    probing = Probing(openers, budget)
    probing.use(config.probes_off)
    return Measuring(
        scanner,
        config,
        boot_id=proc.boot_id(),
        instance=clean(config.instance or instance),
        baseline=baselines.decode(stored) if stored else None,
        listener=listener,
        probing=probing,
    )


def kernel_probes(
    config: Config, scanner: Scanner, pins: Path | None
) -> dict[str, Callable[[], Probe]]:
    """What opens the probes of every host, by their names. Later ones win: the kernel over the
    intercepting library, and over both what applications themselves say."""
    launches = Launches(scanner)
    intercept = {"intercept": lambda: InterceptProbe(scanner.proc)} if config.interception else {}
    return {
        "launches": launches.open,
        **intercept,
        # What ended before a scan saw it is known by its launch, which is read before.
        "opens": lambda: open_opens(launches.application_of),
        # Of an application with a control group of its own the next one knows better.
        "connections": lambda: ConnectionsProbe(
            Path(scanner.proc.root), config.proxies, seek=scanner.seek
        ),
        "network": lambda: NetworkProbe(pins, scanner.tree.files.mounts, proxies=config.proxies),
    }


class Launches:
    """The applications of processes, those included that only their launch has told of."""

    def __init__(self, scanner: Scanner) -> None:
        self._scanner = scanner
        self._probe: LaunchesProbe | NoLaunches | None = None

    def open(self) -> Probe:
        self._probe = open_launches(self._scanner.application_of)
        return self._probe

    def application_of(self, pid: int) -> str | None:
        known = self._scanner.application_of(pid)
        if known is None and self._probe is not None:
            known = self._probe.application_of(pid)
        return known
