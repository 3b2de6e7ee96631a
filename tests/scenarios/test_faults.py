"""Killed agents, killed servers and lost answers: what was used is stored, to the byte."""

import pytest
from django.db import connection

from metering.bench.agent_faults import Plan, measure_faults


@pytest.mark.timeout(120)
@pytest.mark.django_db(transaction=True)
def test_no_usage_is_lost_or_doubled() -> None:
    """The short form of `bench agent --faults`."""
    connection.close()
    figures = measure_faults(Plan(5, 1, 30), lambda line: None)
    assert figures.written_bytes > 0
    assert figures.cpu_us > 0
    assert figures.answers_lost > 0
    assert figures.lost_or_doubled_read_bytes == 0
    assert figures.lost_or_doubled_written_bytes == 0
    assert figures.lost_or_doubled_cpu_us == 0
