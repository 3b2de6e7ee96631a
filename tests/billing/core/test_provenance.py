"""Several lines' provenance as one: every reason and every method once, the refused added up."""

from billing.core.provenance import Provenance, together
from metering.core.quality import NOT_STATED, Measured

CGROUP = Measured("exact", "cgroup/2")
PROC = Measured("sampled", "proc/1")
TICKS = Measured("lower_bound", "ticks/1")
GUESS = Measured("estimated", "share/1")


def test_of_several_lines_adds_up_what_is_refused_and_names_each_reason_once() -> None:
    parts = [
        Provenance(5, ("estimated",), (CGROUP, GUESS)),
        Provenance(0, (), (NOT_STATED, CGROUP)),
        Provenance(7, ("lower_bound", "estimated"), (PROC, TICKS, GUESS)),
    ]
    one = together(parts)
    assert one.refused == 12
    assert set(one.refused_for) == {"lower_bound", "estimated"}
    assert len(one.refused_for) == 2
    assert set(one.measured) == {CGROUP, PROC, TICKS, GUESS, NOT_STATED}
    assert (one.measured[0], one.measured[-1]) == (CGROUP, NOT_STATED)


def test_of_one_line_is_its_own() -> None:
    line = Provenance(5, ("lower_bound",), (CGROUP, TICKS))
    assert together([line]) == line


def test_of_no_line_says_nothing() -> None:
    assert together([]) == Provenance()
