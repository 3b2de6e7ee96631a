"""Which application a process belongs to. Every process belongs to exactly one.

In this order: the agent itself; kernel threads; the first matching rule of the configuration; a
cgroup that is an application's; the parent's application for a mere helper; the program's name.
"""

import logging
import pwd
from collections.abc import Container, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from hostmeter_agent.cgroup import cgroups
from hostmeter_agent.config import Config, Rule
from hostmeter_agent.measure import naming
from hostmeter_agent.measure.proc import ProcFs, Stat

log = logging.getLogger("hostmeter_agent")

AGENT: Final = "hostmeter-agent"
KERNEL: Final = "kernel"
OTHER: Final = "other"
_KTHREADD: Final = 2
_DEPTH_MAX: Final = 64
_REFRESH_SECONDS: Final = 60

ALIASES: Final = {
    "valkey-server": "valkey",
    "redis-server": "redis",
    "postmaster": "postgres",
    "celeryd": "celery",
    "hostmeter_agent": AGENT,
}
_SHELL_TOOLS: Final = """
[ basename cat chmod chown cp cut date dirname echo env expr false flock getent head hostname id
install ln ls mkdir mktemp mv nice nohup pgrep printf ps pwd readlink realpath rm rmdir runuser
seq setsid sleep stat stdbuf stty su sudo tail tee test time timeout touch tr true tty uname uniq
wait wc which who whoami xargs
"""
HELPERS: Final = frozenset(_SHELL_TOOLS.split())


@dataclass(frozen=True, slots=True)
class Program:
    """What discovery looks at in one process; it never leaves the host."""

    name: str
    executable: str
    argv: list[str]
    uid: int


@dataclass(slots=True)
class Known:
    """What was found out about a process, valid while its start, name and image stay, and the
    cgroup, where that is an application's: its count is the application's from the move on.

    wanted: the application that it is by itself, when it is still in a cgroup of another's that the
    agent made.
    """

    start: int
    comm: bytes
    image: bytes
    application: str
    cgroup: cgroups.Member | None
    until_s: float
    wanted: str


def matches(rule: Rule, program: Program) -> bool:
    """Whether all criteria of a rule fit a program."""
    if rule.process is not None and not fnmatchcase(program.name, rule.process):
        return False
    if rule.executable is not None and not fnmatchcase(program.executable, rule.executable):
        return False
    if rule.command is not None and not rule.command.search(" ".join(program.argv)):
        return False
    return rule.user is None or _user_name(program.uid) == rule.user


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _is_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        # A number stands for a user without a name.
        return name.isascii() and name.isdigit()
    return True


def _is_started_by_kernel(stat: Stat, stats: Mapping[int, Stat]) -> bool:
    """A program that the kernel runs by itself. In a container's namespace the number is that of
    any process."""
    parent = stats.get(_KTHREADD) if stat.ppid == _KTHREADD else None
    return parent is not None and parent.kernel


def is_helper(program: Program, helpers: frozenset[str]) -> bool:
    """A shell tool, or an interpreter that runs code given on its command line."""
    if program.name in helpers:
        return True
    family = naming.interpreter_family(program.name)
    return family is not None and naming.runs_code_from_arguments(family, program.argv)


class Discovery:
    """Remembers processes between scans; looks again when one changes, and every minute in which it
    runs."""

    def __init__(self, proc: ProcFs, config: Config, own_pid: int) -> None:
        self._proc = proc
        self._config = config
        self._own_pid = own_pid
        self._helpers = HELPERS if config.helpers is None else config.helpers
        self._aliases = {**ALIASES, **config.aliases}
        self._known: dict[int, Known] = {}
        self.owners: dict[str, str] = {}
        """By path, the applications of cgroups that the agent made."""
        for rule in config.rules:
            if rule.user is not None and not _is_user(rule.user):
                log.warning("rule %r: this host has no user %r (yet)", rule.name, rule.user)

    def cgroup(self, pid: int) -> cgroups.Member | None:
        """A process's place in a cgroup that is an application's, whether or not a rule took it
        out."""
        return self._known[pid].cgroup

    def application(self, pid: int) -> str | None:
        """A process's application as it was last seen; None when it never was."""
        known = self._known.get(pid)
        return known.application if known is not None else None

    def homeless(self, pid: int) -> str | None:
        """The application that a process is by itself, when it is not in a cgroup that is this
        application's; else None."""
        known = self._known.get(pid)
        if known is None or known.application in (AGENT, KERNEL):
            return None
        if known.cgroup is None or known.application != known.wanted:
            return known.wanted
        return None

    def forget(self, pid: int) -> None:
        """The process has been moved: look again."""
        self._known.pop(pid, None)

    def look_at(
        self, stats: Mapping[int, Stat], still: Container[int] = (), *, now_s: float
    ) -> dict[int, str]:
        """The application of every process in `stats` but those that stood still since the last
        look, and forget those that are not in it.

        now_s: seconds on a clock that never goes back.
        """
        found = {
            pid: self._application(stat, stats, now_s, 0)
            for pid, stat in stats.items()
            if pid not in still
        }
        for pid in [pid for pid in self._known if pid not in stats]:
            del self._known[pid]
        return found

    def glance_at(self, stat: Stat, stats: Mapping[int, Stat], *, now_s: float) -> str:
        """The application of one process that is new, remembered for the next scan."""
        return self._application(stat, stats, now_s, 0)

    def _application(self, stat: Stat, stats: Mapping[int, Stat], now_s: float, depth: int) -> str:
        known = self._known.get(stat.pid)
        if known is not None and known.start == stat.start and known.image == stat.image:
            if stat.zombie or (
                known.comm == stat.comm and now_s < known.until_s and self._has_stayed(stat, known)
            ):
                return known.application
        elif known is not None and known.start == stat.start and stat.zombie:
            return known.application  # a zombie has lost its image, not its application
        wanted, cgroup = self._find(stat, stats, now_s, depth)
        application = wanted
        if cgroup is not None and cgroups.is_ours(cgroup.path):
            application = self.owners.get(cgroup.path, wanted)
        # Spread over the numbers, so that not all come due in one scan.
        until_s = now_s + _REFRESH_SECONDS - stat.pid % (_REFRESH_SECONDS // 2)
        self._known[stat.pid] = Known(
            stat.start, stat.comm, stat.image, application, cgroup, until_s, wanted
        )
        return application

    def _has_stayed(self, stat: Stat, known: Known) -> bool:
        return known.cgroup is None or self._cgroup(stat.pid) == known.cgroup

    def _find(
        self, stat: Stat, stats: Mapping[int, Stat], now_s: float, depth: int
    ) -> tuple[str, cgroups.Member | None]:
        if stat.pid == self._own_pid or stat.ppid == self._own_pid:
            return AGENT, self._cgroup(stat.pid)
        if stat.kernel or _is_started_by_kernel(stat, stats):
            return KERNEL, None
        program = self._program(stat)
        cgroup = self._cgroup(stat.pid)
        for rule in self._config.rules:
            if matches(rule, program):
                return rule.name, cgroup
        if cgroup is not None and not cgroups.is_ours(cgroup.path):
            return naming.clean(cgroups.application_name(cgroup.path)), cgroup
        parent = stats.get(stat.ppid)
        if parent is not None and stat.ppid > 1 and depth < _DEPTH_MAX:
            inherits = stat.zombie and not program.argv
            if inherits or is_helper(program, self._helpers):
                self._application(parent, stats, now_s, depth + 1)
                return self._known[parent.pid].wanted, cgroup
        return self._aliases.get(program.name, program.name), cgroup

    def _program(self, stat: Stat) -> Program:
        executable, argv, uid = self._proc.executable(stat.pid), [], 0
        try:
            argv = self._proc.argv(stat.pid)
            uid = self._proc.owner(stat.pid)
        except OSError:
            pass  # gone or hidden: the short name is all there is
        comm = stat.comm.decode(errors="replace")
        return Program(naming.program_name(executable, argv, comm), executable, argv, uid)

    def _cgroup(self, pid: int) -> cgroups.Member | None:
        try:
            return cgroups.member(self._proc.cgroups(pid))
        except (OSError, ValueError):
            return None
