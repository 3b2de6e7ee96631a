"""The steps of `up`, in the order in which one needs the other."""

import functools
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from config.runtime import parts
from config.runtime.installation import Installation
from config.runtime.processes import Command
from config.runtime.progress import step, step_done
from config.runtime.servers import start_servers
from config.runtime.supervisor import Part, Supervisor

# So many webhook endpoints an account at Stripe may have, and so at the fake.
FAKE_STRIPE_WEBHOOKS_MAX = 16


class PrepareProgress:
    """Follows the file in which the preparing process notes its finished steps."""

    def __init__(self, path: Path, at_step: Mapping[str, Callable[[], None]]) -> None:
        self.path = path
        self._at_step = at_step
        self.result: dict[str, Any] = {}
        self._told = 0
        path.unlink(missing_ok=True)

    def tell(self) -> None:
        if not self.path.exists():
            return
        lines = self.path.read_text("utf-8").splitlines(keepends=True)
        for line in lines[self._told :]:
            if not line.endswith("\n"):
                break  # still being written
            self._told += 1
            record = json.loads(line)
            if "step" in record:
                step_done(record["step"], record["seconds"])
                self._at_step.get(record["step"], _nothing)()
            self.result = record.get("result", self.result)


def _nothing() -> None:
    pass


def start_everything(installation: Installation, supervisor: Supervisor) -> None:
    """Servers, database, programs, agent. Raises CannotRun with what is missing."""
    supervisor.changed = installation.report
    with step(_embedded_names(installation)):
        start_servers(installation.servers, supervisor)
    # Reads the code only, so it needs not wait for the database; there are two cores at least.
    supervisor.begin("static-files", _static_files(installation))
    token = _prepare(installation, supervisor)
    with step("web, worker, beat"):
        supervisor.launch([parts.beat(_environment(installation), installation.home)])
        supervisor.launch(_fake_stripe(installation))
        supervisor.wait_until_ready()
    with step("agent"):
        _start_agent(installation, supervisor, token)
    installation.is_complete = True
    installation.publish_environment()
    installation.report(supervisor.states())


def _embedded_names(installation: Installation) -> str:
    names = {"postgres": "PostgreSQL", "valkey": "Valkey"}
    embedded = [name for key, name in names.items() if key not in installation.given()]
    return " and ".join(embedded) or "servers are given"


def _static_files(installation: Installation) -> Command:
    command = [*parts.manage("collectstatic"), "--noinput", "--verbosity", "0"]
    return Command(command, _environment(installation))


def _prepare(installation: Installation, supervisor: Supervisor) -> str:
    """Migrate and seed; the agent's enrolment token, "" where it needs none."""
    launch = functools.partial(_launch_web_and_worker, installation, supervisor)
    progress = PrepareProgress(installation.home.run / "prepare.jsonl", {"migrations": launch})
    wants_token = [] if _enrolment_note(installation).exists() else ["--token"]
    demo = {"HOSTMETER_DEMO_PASSWORD": installation.demo_password}
    environment = dict(os.environ) | installation.variables | demo
    arguments = parts.python("config.runtime.prepare", str(progress.path), *wants_token)
    supervisor.begin("prepare", Command(arguments, environment))
    try:
        supervisor.finish("prepare", progress.tell)
        progress.tell()
    finally:
        progress.path.unlink(missing_ok=True)  # it holds the token
    installation.users = progress.result["users"]
    installation.tenants = tuple(progress.result["tenants"])
    return progress.result["token"] or ""


def _fake_stripe(installation: Installation) -> list[Part]:
    """None where payments go to Stripe. A tenant made later gets its events from the next start on,
    and until then what the reconciler asks for."""
    listener = installation.fake_stripe
    if listener is None:
        return []
    slugs = installation.tenants[:FAKE_STRIPE_WEBHOOKS_MAX]
    webhooks = [f"{installation.url}/webhooks/stripe/{slug}/" for slug in slugs]
    return [parts.fake_stripe(listener, installation.home.fake_stripe, webhooks)]


def _environment(installation: Installation) -> dict[str, str]:
    return parts.part_environment(installation.variables)


def _launch_web_and_worker(installation: Installation, supervisor: Supervisor) -> None:
    """As soon as there are tables, while the demo data is made: the worker has nothing to do before
    beat runs. The web reads its list of static files when it starts, so these come first."""
    with step("static files"):
        supervisor.finish("static-files")
    environment = _environment(installation)
    supervisor.launch([parts.web(installation.listener, environment), parts.worker(environment)])


def _enrolment_note(installation: Installation) -> Path:
    return installation.home.run / f"{installation.agent_state.name}.enrolled"


def _start_agent(installation: Installation, supervisor: Supervisor, token: str) -> None:
    state = installation.agent_state
    environment = parts.agent_environment(os.environ)
    if token:
        command = parts.agent_enrolment(state, installation.url, token, environment)
        supervisor.run("agent-enrolment", command)
        _enrolment_note(installation).write_text(installation.url + "\n", "utf-8")
    supervisor.start([parts.agent(state, installation.url, environment)])
