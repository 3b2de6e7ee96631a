"""A kernel on paper: processes that run, fork, end and wait, with what /proc and records show."""

from dataclasses import dataclass, field

from hostmeter_agent.measure.accounting import account
from hostmeter_agent.measure.exits import Exit
from hostmeter_agent.measure.readings import Reading, Table

TICK_US = 10_000
TIMER_US = 4_000
FAULTS = 10


@dataclass
class Task:
    """True times in µs."""

    pid: int
    parent: int
    cpu_us: int = 0
    children_cpu_us: int = 0
    children_faults: int = 0
    zombie: bool = False


@dataclass
class Kernel:
    """Time is spent in steps of any length; /proc shows whole ticks, and an exit record lacks what
    was used since the last timer interrupt and what the end itself takes."""

    records: bool
    tasks: dict[int, Task] = field(default_factory=lambda: {1: Task(1, 0)})
    exits: list[Exit] = field(default_factory=list)
    spent_us: int = 0
    booked_us: int = 0
    table: Table | None = None
    last_pid: int = 1

    def pick(self, number: int) -> Task:
        alive = [task for task in self.tasks.values() if not task.zombie]
        return alive[number % len(alive)]

    def spend(self, number: int, us: int) -> None:
        self.pick(number).cpu_us += us
        self.spent_us += us

    def fork(self, number: int, us: int) -> None:
        self.last_pid += 1
        self.tasks[self.last_pid] = Task(self.last_pid, self.pick(number).pid, us)
        self.spent_us += us

    def end(self, number: int, last_us: int) -> None:
        """A process ends; init adopts what it leaves behind."""
        task = self.pick(number)
        if task.pid == 1:
            return
        self.exits.append(Exit(task.pid, task.parent, task.cpu_us // TIMER_US * TIMER_US))
        task.cpu_us += last_us
        self.spent_us += last_us
        task.zombie = True
        for child in [t for t in self.tasks.values() if t.parent == task.pid]:
            child.parent = 1
            if child.zombie:
                self._reap(child)
        if task.parent == 1:
            self._reap(task)

    def wait(self, number: int) -> None:
        zombies = [task for task in self.tasks.values() if task.zombie]
        if zombies:
            self._reap(zombies[number % len(zombies)])

    def _reap(self, child: Task) -> None:
        parent = self.tasks[child.parent]
        parent.children_cpu_us += child.cpu_us + child.children_cpu_us
        parent.children_faults += FAULTS + child.children_faults
        del self.tasks[child.pid]

    def scan(self, at: int = 0, wait: int = -1) -> None:
        """Read all processes; a zombie is waited for after `at` of them were read."""
        now = Table()
        for place, pid in enumerate(sorted(self.tasks)):
            if place == at and wait >= 0:
                self.wait(wait)
            task = self.tasks.get(pid)
            if task is not None:
                now.processes[pid] = self._unless_unchanged(_reading(task))
        exits, self.exits = self.exits, []
        if self.table is not None:
            usage = account(
                self.table, now, exits=exits if self.records else None, elapsed_us=10_000_000
            )
            assert all(us >= 0 for us in usage.cpu_us.values())
            self.booked_us += sum(usage.cpu_us.values())
        self.table = now

    def _unless_unchanged(self, reading: Reading) -> Reading:
        """A process that did not run is not read again: its reading is the former object."""
        former = self.table.processes.get(reading.pid) if self.table is not None else None
        return former if former is not None and former == reading else reading


def _reading(task: Task) -> Reading:
    return Reading(
        task.pid, task.pid, task.parent, f"app-{task.pid % 3}",
        task.cpu_us // TICK_US * TICK_US, task.children_cpu_us // TICK_US * TICK_US,
        FAULTS + task.children_faults, task.children_faults, 1, None,
    )  # fmt: skip
