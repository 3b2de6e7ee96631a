"""What `bench` says when it cannot measure."""

import shutil
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from metering.bench import agent_intercept
from metering.bench.agent_intercept import InterceptFigures
from portal.management.commands import bench


@pytest.fixture
def only_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The agent's own figures take a minute and are not what is asked for here."""
    monkeypatch.setattr(bench, "measure_agent", lambda *_: {"rss_mb": 19.6})
    monkeypatch.setattr(bench, "measure_cpu_error", lambda *_: None)


@pytest.mark.usefixtures("only_parts")
class TestBenchOfTheInterceptingLibrary:
    def test_says_in_one_line_what_is_missing(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        for tool in ("sh", "gcc", "cc", "ld", "as", "env", "dirname", "cp", "mv", "rm", "mkdir"):
            if (found := shutil.which(tool)) is not None:
                (tmp_path / tool).symlink_to(found)
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(CommandError) as refused:
            call_command("bench", "agent", "--intercept")
        assert str(refused.value) == "bench agent: there is no nginx"

    def test_shows_both_figures_of_a_pair(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        figures = InterceptFigures((20_000, 19_000), (9.5, 10.0), 1.053)
        monkeypatch.setattr(agent_intercept, "intercept_figures", lambda: {"keep": figures})
        call_command("bench", "agent", "--intercept")
        assert "20,000 → 19,000" in capsys.readouterr().out
