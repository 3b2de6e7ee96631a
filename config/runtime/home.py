"""Where one installation keeps its data, and the files in which its parts meet."""

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from config.runtime.failure import CannotRun

REPOSITORY = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True)
class Home:
    """The folder of one installation, usually <repository>/.hostmeter."""

    folder: Path

    @property
    def secrets(self) -> Path:
        return self.folder / "env"

    @property
    def environment(self) -> Path:
        """The variables that the running parts were started with, secrets included."""
        return self.run / "environment"

    @property
    def run(self) -> Path:
        return self.folder / "run"

    @property
    def state(self) -> Path:
        return self.run / "state.json"

    @property
    def ports(self) -> Path:
        return self.run / "ports.json"

    @property
    def lock(self) -> Path:
        return self.run / "lock"

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def fake_stripe(self) -> Path:
        """What the fake Stripe of a demonstration knows."""
        return self.folder / "fake-stripe.sqlite3"

    @property
    def agent(self) -> Path:
        return self.folder / "agent"

    def make(self) -> None:
        try:
            self.folder.mkdir(parents=True)
        except FileExistsError:
            if not self.folder.is_dir():
                raise CannotRun(f"{self.folder} is in the way: it should be a folder") from None
        else:
            # A folder that was there before stays as it was.
            _close(self.folder)
        for folder in (self.run, self.logs, self.agent):
            folder.mkdir(mode=0o700, exist_ok=True)

    def clear(self) -> None:
        """Remove what `up` has made here, and nothing else: the folder may be the user's own."""
        remove_servers_data(self.folder)
        for name in ("agent", "logs", "static"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        made = ("celerybeat-schedule*", f"{self.fake_stripe.name}*")
        files = [self.secrets, *self.run.glob("*")]
        files += [file for pattern in made for file in self.folder.glob(pattern)]
        for file in files:
            if file != self.lock:
                file.unlink(missing_ok=True)
        self.make()


def _close(folder: Path) -> None:
    # Root's servers run under another account: it has to pass through, but may not list.
    folder.chmod(0o711 if os.geteuid() == 0 else 0o700)


def temporary_home() -> Home:
    """A new folder for one test run. Its path is short: a Unix socket's has 107 bytes only."""
    folder = Path(tempfile.mkdtemp(prefix="hostmeter-test-"))
    _close(folder)
    return Home(folder)


def configured_home() -> Home:
    return Home(Path(os.environ.get("HOSTMETER_HOME") or REPOSITORY / ".hostmeter").absolute())


def write_private(path: Path, text: str) -> None:
    """Replace the file in one step, readable by its owner only."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def remove_servers_data(folder: Path) -> None:
    """Remove what the embedded servers keep for the installation in `folder`."""
    link = folder / "servers"
    if link.is_symlink():
        shutil.rmtree(link.resolve(), ignore_errors=True)
        link.unlink()
    for name in ("postgres", "postgres.new", "valkey", "programs"):
        shutil.rmtree(folder / name, ignore_errors=True)
