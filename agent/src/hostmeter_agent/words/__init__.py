"""What applications say themselves: access logs, Prometheus endpoints, OTLP and StatsD.

Nothing is imported and nothing opened that is not configured.
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hostmeter_agent.config import Config
    from hostmeter_agent.measure.probes import Probe


def open_words(config: "Config", state: Path | None) -> "list[Probe]":
    """The probes for what applications say, to come after all others: their meters win.

    state: the agent's state directory, where OTLP keeps its journal; without one (a dry run, in
    which an agent may run beside) no inlet is opened.
    """
    words = config.words
    probes: list[Probe] = []
    if words is None:
        return probes
    if words.access_logs:
        from hostmeter_agent.words.access_log import AccessLogProbe

        probes.append(AccessLogProbe(words.access_logs))
    if words.endpoints:
        from hostmeter_agent.words.prometheus import PrometheusProbe

        metrics = words.metrics_of("prometheus")
        probes.append(
            PrometheusProbe(words.endpoints, metrics, interval_seconds=config.interval_seconds)
        )
    if words.otlp is not None and state is not None:
        from hostmeter_agent.words.otlp import OtlpProbe

        probes.append(OtlpProbe(words.otlp, words.metrics_of("otlp"), state / "otlp.journal"))
    if words.statsd is not None and state is not None:
        from hostmeter_agent.words.statsd import StatsdProbe

        probes.append(StatsdProbe(words.statsd, words.metrics_of("statsd")))
    return probes
