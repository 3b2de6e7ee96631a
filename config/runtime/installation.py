"""One `up`: its servers, addresses and users, and the state that it lets others read."""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from config.runtime import ports, secrets_file
from config.runtime.home import Home, write_private
from config.runtime.parts import listening_socket
from config.runtime.progress import say
from config.runtime.servers import Servers, given_servers, plan_servers
from config.runtime.state import State, User, part_reports, read_state, write_state
from config.runtime.supervisor import PartState

# With one of these payments go elsewhere than to the fake.
PROCESSOR_VARIABLES = ("STRIPE_SECRET_KEY", "STRIPE_API_BASE")


@dataclass
class Installation:
    """`variables` lead to the servers and hold the secrets; `users` come with the demo data."""

    home: Home
    web_port: int
    servers: Servers
    variables: dict[str, str]
    users: list[User]
    listener: socket.socket
    fake_stripe: socket.socket | None
    """Its listening socket; None where payments go to Stripe, or to what STRIPE_API_BASE names."""
    tenants: tuple[str, ...] = ()
    is_complete: bool = False

    @property
    def url(self) -> str:
        return f"http://{ports.LOOPBACK}:{self.web_port}"

    @property
    def fake_stripe_url(self) -> str:
        """Empty where payments do not go to the fake."""
        if self.fake_stripe is None:
            return ""
        return f"http://{ports.LOOPBACK}:{self.fake_stripe.getsockname()[1]}"

    @property
    def demo_password(self) -> str:
        return self.servers.secrets["HOSTMETER_DEMO_PASSWORD"]

    @property
    def agent_state(self) -> Path:
        """The agent's folder; another for a given database, where this host is not known yet."""
        agent = self.home.agent
        return agent if self.servers.postgres is not None else agent / "given-database"

    def given(self) -> list[str]:
        servers = {"postgres": self.servers.postgres, "valkey": self.servers.valkey}
        return [name for name, server in servers.items() if server is None]

    def report(self, states: Mapping[str, PartState]) -> None:
        """Write the state for `status`."""
        running = all(part.state == "running" for part in states.values())
        given = {name: PartState("given") for name in self.given()}
        state: State = {
            "ready": self.is_complete and running,
            "portal": f"{self.url}/",
            "admin": f"{self.url}/admin/",
            "api": f"{self.url}/api/v1/",
            "database": self.variables["ADMIN_DATABASE_URL"],
            "users": self.users,
            "parts": part_reports(given | dict(states)),
        }
        write_state(self.home, state)

    def publish_environment(self) -> None:
        """Let Django's commands use the same servers."""
        write_private(self.home.environment, secrets_file.render(self.variables))


def plan_installation(home: Home) -> Installation:
    """Load or make the secrets, choose ports, decide what is embedded. Raises CannotRun."""
    secrets = secrets_file.load_or_create(home.secrets)
    last = ports.remembered(home.ports)
    chosen = ports.choose(last)
    servers = plan_servers(home.folder, chosen, secrets, given_servers())
    uses_fake_stripe = not any(os.environ.get(name) for name in PROCESSOR_VARIABLES)
    _tell_of_other_ports(chosen, last, servers, uses_fake_stripe=uses_fake_stripe)
    ports.remember(home.ports, chosen)
    variables = servers.variables() | {
        "SECRET_KEY": os.environ.get("SECRET_KEY") or secrets["SECRET_KEY"],
        "BASE_URL": f"http://{ports.LOOPBACK}:{chosen['web']}",
        "HOSTMETER_HOME": str(home.folder),
    }
    state = read_state(home)
    users = state["users"] if state else []
    listener = listening_socket("web", chosen["web"])
    fake_stripe = (
        listening_socket("fake-stripe", chosen["fake-stripe"]) if uses_fake_stripe else None
    )
    installation = Installation(
        home, chosen["web"], servers, variables, users, listener, fake_stripe
    )
    if uses_fake_stripe:
        variables["STRIPE_API_BASE"] = installation.fake_stripe_url
    return installation


def _tell_of_other_ports(
    chosen: Mapping[str, int],
    last: Mapping[str, int],
    servers: Servers,
    *,
    uses_fake_stripe: bool,
) -> None:
    used = {
        "web": True,
        "postgres": servers.postgres,
        "valkey": servers.valkey,
        "fake-stripe": uses_fake_stripe,
    }
    for name, port in chosen.items():
        wanted = last.get(name, ports.DEFAULTS[name])
        if used[name] and port != wanted:
            say(f"Port {wanted} is taken: {name} listens on {port}")
