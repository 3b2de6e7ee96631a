"""The agent's peers, from Debian's packages, each as it is meant to look at the same processes."""

import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from metering.bench.agent_process import Measured, measured
from metering.bench.agent_workload import APPLICATION, Workload
from metering.bench.together import BenchFailed

APPS_PLUGIN, COLLECTD, PROCESS_EXPORTER = "netdata-apps.plugin", "collectd", "process-exporter"
_PACKAGES = {
    "netdata-core": "/usr/lib/netdata/plugins.d/apps.plugin",
    "collectd-core": "/usr/sbin/collectd",
    "prometheus-process-exporter": "/usr/bin/prometheus-process-exporter",
}
_APT_GET = "/usr/bin/apt-get"
_POLICY = Path("/usr/sbin/policy-rc.d")
_INSTALL_SECONDS_MAX = 600
_SCRAPE_SECONDS_MAX = 60
_START_SECONDS_MAX = 30


@dataclass(slots=True)
class Peer:
    """A peer under measurement; scrape: what makes it look, where it does not do so by itself."""

    measured: Measured
    scrape: Callable[[], None] | None = None


def install(progress: Callable[[str], None]) -> None:
    """The packages that are missing, without recommended ones; no service is started by it.

    Raises BenchFailed.
    """
    missing = [package for package, path in _PACKAGES.items() if not Path(path).exists()]
    if not missing:
        return
    if not Path(_APT_GET).exists():
        raise BenchFailed(f"the peers need Debian's apt-get to install {', '.join(missing)}")
    progress(f"installing {', '.join(missing)}")
    with _no_service_starts():
        for command in (["update", "-q"], ["install", "-q", "-y", "--no-install-recommends"]):
            names = missing if command[0] == "install" else []
            _apt_get([*command, *names])


@contextmanager
def _no_service_starts() -> Iterator[None]:
    """Debian's packages ask this file whether they may start their services."""
    if _POLICY.exists():
        yield  # the machine has its own policy, which is not ours to change
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink()


def _apt_get(arguments: list[str]) -> None:
    done = subprocess.run(
        [_APT_GET, *arguments],
        env={"DEBIAN_FRONTEND": "noninteractive", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        capture_output=True,
        text=True,
        timeout=_INSTALL_SECONDS_MAX,
        check=False,
    )
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise BenchFailed(f"apt-get {arguments[0]}: {said[-1] if said else 'failed'}")


@contextmanager
def peers(shape: Workload, interval_seconds: int, folder: Path) -> Iterator[list[Peer]]:
    """All three, running at the interval. Raises BenchFailed."""
    with ExitStack() as stack:
        command = [_PACKAGES["netdata-core"], str(interval_seconds)]
        apps = stack.enter_context(measured(APPS_PLUGIN, command, folder / "netdata.log"))
        command = [_PACKAGES["collectd-core"], "-f", "-C"]
        command += [str(_collectd_configuration(shape, interval_seconds, folder))]
        collectd = stack.enter_context(measured(COLLECTD, command, folder / "collectd.log"))
        port = _free_port()
        command = [_PACKAGES["prometheus-process-exporter"], "-config.path"]
        command += [str(_exporter_configuration(folder))]
        command += ["-web.listen-address", f"127.0.0.1:{port}"]
        exporter = stack.enter_context(measured(PROCESS_EXPORTER, command, folder / "exporter.log"))
        _wait_until_it_answers(port)
        yield [Peer(apps), Peer(collectd), Peer(exporter, lambda: _get(port))]


def _collectd_configuration(shape: Workload, interval_seconds: int, folder: Path) -> Path:
    names = [APPLICATION.format(number) for number in range(shape.applications)]
    lines = [
        f'BaseDir "{folder}"', f'PIDFile "{folder}/collectd.pid"',
        'PluginDir "/usr/lib/collectd"', 'TypesDB "/usr/share/collectd/types.db"',
        f"Interval {interval_seconds}", "LoadPlugin processes", "<Plugin processes>",
        "CollectFileDescriptor true", *(f'Process "{name}"' for name in names), "</Plugin>",
    ]  # fmt: skip
    path = folder / "collectd.conf"
    path.write_text("\n".join(lines) + "\n")
    return path


def _exporter_configuration(folder: Path) -> Path:
    path = folder / "exporter.yml"
    path.write_text('process_names:\n  - name: "{{.Comm}}"\n    cmdline: [".+"]\n')
    return path


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_it_answers(port: int) -> None:
    deadline = time.monotonic() + _START_SECONDS_MAX
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if not probe.connect_ex(("127.0.0.1", port)):
                return
        time.sleep(0.1)
    raise BenchFailed(f"{PROCESS_EXPORTER} did not start within {_START_SECONDS_MAX} s")


def _get(port: int) -> None:
    url = f"http://127.0.0.1:{port}/metrics"
    try:
        with urllib.request.urlopen(url, timeout=_SCRAPE_SECONDS_MAX) as answer:
            answer.read()
    except OSError as error:
        raise BenchFailed(f"{PROCESS_EXPORTER} does not answer: {error}") from error
