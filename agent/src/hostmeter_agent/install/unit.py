"""The systemd unit that the agent runs in: it may see every process and write next to nothing."""

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

UNIT_NAME: Final = "hostmeter-agent.service"
DIRECTORY_NAME: Final = "hostmeter-agent"
CONFIG_FILE: Final = PurePosixPath("/etc", DIRECTORY_NAME, "config.toml")
UNIT_FILE: Final = PurePosixPath("/etc/systemd/system", UNIT_NAME)
STATE_DIRECTORY: Final = PurePosixPath("/var/lib", DIRECTORY_NAME)
RUNTIME_NAME: Final = "hostmeter"
RUNTIME_DIRECTORY: Final = PurePosixPath("/run", RUNTIME_NAME)
"""Sockets and the intercepting library's pages: kept while the agent restarts."""
PINS_DIRECTORY: Final = PurePosixPath("/sys/fs/bpf", DIRECTORY_NAME)
"""Pinned eBPF links and maps. The file system belongs to root, so the unit's start makes it."""
HIERARCHIES: Final = (PurePosixPath("/sys/fs/cgroup"), PurePosixPath("/sys/fs/cgroup/unified"))
"""Where cgroup2 is, alone and beside version 1."""

CAPABILITIES: Final = ("CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH", "CAP_BPF", "CAP_NET_ADMIN")
"""Other users' /proc/PID/io and descriptors; log files and tracing files; eBPF; exit records."""

_TEMPLATE: Final = """\
# Written by `hostmeter-agent install`, which writes it anew: changes belong into a drop-in
# (systemctl edit {unit}).
[Unit]
Description=Hostmeter agent: meters what the applications of this host use
After=network.target

[Service]
Type=exec
ExecStartPre=-+install -d -m 0700 -o {user} -g {group} {pins}
# As root: the agent itself may attach and read what is loaded here, but not load.
ExecStartPre=-+{attach}
ExecStart={command}
User={user}
Group={group}
StateDirectory={directory}
StateDirectoryMode=0700
RuntimeDirectory={runtime}
RuntimeDirectoryMode=0755
RuntimeDirectoryPreserve=yes
UMask=0077
Restart=on-failure
RestartSec=5
TimeoutStopSec=30

# What it may take from the applications that it meters.
MemoryMax={memory_mb}M
CPUQuota={cpu_percent}%
TasksMax=64
OOMScoreAdjust=500

# What it needs to see other users' processes, and nothing else.
AmbientCapabilities={capabilities}
CapabilityBoundingSet={capabilities}
NoNewPrivileges=yes

# The whole file system is for reading, but for the state, the runtime directory and the pins.
ProtectSystem=strict
ReadWritePaths=-{pins}
# Access logs stand in home directories, too.
ProtectHome=read-only
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
# ProtectProc and ProcSubset stay open: the processes of others are what is metered.

RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RemoveIPC=yes
KeyringMode=private
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallFilter=bpf perf_event_open
SystemCallErrorNumber=EPERM
LimitNOFILE=4096
# Before Linux 5.11 eBPF maps count as locked memory.
LimitMEMLOCK=64M

[Install]
WantedBy=multi-user.target
"""


@dataclass(frozen=True, slots=True)
class Unit:
    """What is particular to this host. `server` only where it is not the enrolment's."""

    python: str
    user: str
    group: str
    server: str | None = None
    memory_mb: int = 128
    cpu_percent: int = 25

    def command(self) -> list[str]:
        """The words that run the agent."""
        words = [
            self.python, "-m", "hostmeter_agent", "run",
            "--state", str(STATE_DIRECTORY), "--config", str(CONFIG_FILE),
        ]  # fmt: skip
        return words + (["--server", self.server] if self.server else [])

    def attach(self) -> list[str]:
        """The words that, as root, load what the agent counts with."""
        return [self.python, "-m", "hostmeter_agent", "attach", "--state", str(STATE_DIRECTORY)]

    def text(self) -> str:
        """The unit file."""
        return _TEMPLATE.format(
            unit=UNIT_NAME, directory=DIRECTORY_NAME, runtime=RUNTIME_NAME, pins=PINS_DIRECTORY,
            user=self.user, group=self.group, capabilities=" ".join(CAPABILITIES),
            command=" ".join(_quoted(word) for word in self.command()),
            attach=" ".join(_quoted(word) for word in self.attach()),
            memory_mb=self.memory_mb, cpu_percent=self.cpu_percent,
        )  # fmt: skip

    def command_by_hand(self) -> list[str]:
        """The same with the same rights where no systemd gives them: by util-linux's setpriv."""
        names = [name.removeprefix("CAP_").lower() for name in CAPABILITIES]
        only = "-all," + ",".join(f"+{name}" for name in names)
        rights = [f"--{kind}={only}" for kind in ("inh-caps", "ambient-caps", "bounding-set")]
        who = [f"--reuid={self.user}", f"--regid={self.group}", "--clear-groups"]
        return ["setpriv", *who, *rights, "--no-new-privs", *self.command()]


def _quoted(word: str) -> str:
    """A word as systemd reads it back: % and $ stand for something there."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"' if escaped != word or not word.isprintable() or " " in word else word


def user_of(unit_text: str) -> str | None:
    """The user that a unit of ours names."""
    for line in unit_text.splitlines():
        if line.startswith("User="):
            return line.removeprefix("User=").strip() or None
    return None
