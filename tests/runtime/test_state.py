import signal
import subprocess
import sys
from pathlib import Path

from config.runtime.control import current_status
from config.runtime.home import Home
from config.runtime.state import State, running_process, take_lock, write_state

HOLD = """
import sys
from pathlib import Path
from config.runtime.home import Home
from config.runtime.state import take_lock
assert take_lock(Home(Path(sys.argv[1]))) is not None
print("held", flush=True)
sys.stdin.read()
"""


def hold_lock(home: Home) -> "subprocess.Popen[str]":
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(home.folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


def test_an_installation_has_one_supervisor_and_the_kernel_names_it(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.make()
    assert running_process(home) is None

    with hold_lock(home) as holder:
        assert running_process(home) == holder.pid
        assert take_lock(home) is None
        holder.kill()

    assert running_process(home) is None


def test_status_does_not_believe_what_a_killed_supervisor_left(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.make()
    state: State = {
        "ready": True,
        "portal": "http://127.0.0.1:8000/",
        "admin": "",
        "api": "",
        "database": "",
        "users": [],
        "parts": {
            "web": {"state": "running", "pid": 12, "restarts": 0},
            "postgres": {"state": "given", "pid": None, "restarts": 0},
        },
    }
    write_state(home, state)
    with hold_lock(home) as holder:
        assert current_status(home).state["ready"]
        holder.send_signal(signal.SIGKILL)

    status = current_status(home)

    assert status.process is None
    assert not status.state["ready"]
    assert status.state["parts"]["web"] == {"state": "stopped", "pid": None, "restarts": 0}
    assert status.state["parts"]["postgres"]["state"] == "given"
    assert status.state["portal"] == "http://127.0.0.1:8000/"
