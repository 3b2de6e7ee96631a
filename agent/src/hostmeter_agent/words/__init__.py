"""What applications say themselves: access logs, Prometheus endpoints, OTLP and StatsD.

Nothing is imported and nothing opened that is not configured.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hostmeter_agent.config import Config
    from hostmeter_agent.measure.probes import Probe
    from hostmeter_agent.words.config import OtlpInlet, StatsdInlet, WordsConfig


def word_probes(config: "Config", state: Path | None) -> "dict[str, Callable[[], Probe]]":
    """What opens the probes for what applications say, by their names; to come after all others:
    their meters win.

    state: the agent's state directory, where OTLP keeps its journal; without one (a dry run, in
    which an agent may run beside) no inlet is opened.
    """
    words = config.words
    if words is None:
        return {}
    openers: dict[str, Callable[[], Probe]] = {}
    if words.access_logs:
        openers["access-log"] = partial(_access_log, words)
    if words.endpoints:
        openers["prometheus"] = partial(_prometheus, words, config.interval_seconds)
    if words.otlp is not None and state is not None:
        openers["otlp"] = partial(_otlp, words, words.otlp, state / "otlp.journal")
    if words.statsd is not None and state is not None:
        openers["statsd"] = partial(_statsd, words, words.statsd)
    return openers


def open_words(config: "Config", state: Path | None) -> "list[Probe]":
    """All of word_probes, opened."""
    return [opener() for opener in word_probes(config, state).values()]


def _access_log(words: "WordsConfig") -> "Probe":
    from hostmeter_agent.words.access_log import AccessLogProbe

    return AccessLogProbe(words.access_logs)


def _prometheus(words: "WordsConfig", interval_seconds: int) -> "Probe":
    from hostmeter_agent.words.prometheus import PrometheusProbe

    metrics = words.metrics_of("prometheus")
    return PrometheusProbe(words.endpoints, metrics, interval_seconds=interval_seconds)


def _otlp(words: "WordsConfig", inlet: "OtlpInlet", journal: Path) -> "Probe":
    from hostmeter_agent.words.otlp import OtlpProbe

    return OtlpProbe(inlet, words.metrics_of("otlp"), journal)


def _statsd(words: "WordsConfig", inlet: "StatsdInlet") -> "Probe":
    from hostmeter_agent.words.statsd import StatsdProbe

    return StatsdProbe(inlet, words.metrics_of("statsd"))
