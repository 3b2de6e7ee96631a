"""Makes .venv with the standard library alone and continues this program inside it.

A fresh Debian has neither pip nor ensurepip, so pip's wheel is fetched from the package index that
this machine is configured for and checked against the hash below; uv is used where it is installed.
"""

import base64
import configparser
import fcntl
import hashlib
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import venv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "hostmeter-installed.json"
UNFINISHED = VENV / "hostmeter-unfinished"
PUBLIC_INDEX = "https://pypi.org/simple"
PIP_WHEEL = "pip-26.3-py3-none-any.whl"
PIP_SHA256 = "f3b60b20ffaadd4415ed7957212a38ac63fa4c5fa375bd0f4a797777940fad13"
PIP_BYTES_MAX = 8 * 1024 * 1024
PAGE_BYTES_MAX = 16 * 1024 * 1024
FETCH_TIMEOUT_S = 30
INDEX_ADVICE = "set PIP_INDEX_URL (and PIP_CERT, https_proxy) to a package index in reach"


class BootstrapError(Exception):
    """The environment cannot be made; the message is one line."""


@dataclass(frozen=True)
class IndexSettings:
    """Where packages come from: simple-API URLs in the order to try, CA file, proxy."""

    urls: tuple[str, ...]
    certificates: str | None = None
    proxy: str | None = None


def enter(*, development: bool) -> None:
    """Return inside an environment that has the requirements; re-executes the program if needed.

    Ends the program with one line when the environment cannot be made.
    """
    if os.environ.get("HOSTMETER_NO_BOOTSTRAP") == "1":
        return
    requirements = ROOT / ("requirements-dev.txt" if development else "requirements.txt")
    try:
        if not is_installed(requirements):
            with _one_at_a_time() as lock:
                if not is_installed(requirements):
                    _install(requirements, lock)
    except BootstrapError as error:
        raise SystemExit(f"hostmeter: {error}") from None
    except KeyboardInterrupt:
        raise SystemExit("hostmeter: interrupted while installing; run it again") from None
    except OSError as error:
        raise SystemExit(f"hostmeter: cannot make {VENV}: {error}") from None
    if Path(sys.prefix).resolve() != VENV.resolve():
        python = str(VENV / "bin" / "python")
        os.execve(python, [python, *sys.argv], dict(os.environ))  # noqa: S606  our own interpreter


def is_installed(requirements: Path) -> bool:
    """Whether .venv holds exactly these requirements, for this version of Python."""
    try:
        stamp = json.loads(STAMP.read_text("utf-8"))
    except (OSError, ValueError):
        return False
    fits = stamp.get("python") == _python_version() and not UNFINISHED.exists()
    return fits and stamp.get(requirements.name) == _digest(requirements)


def _python_version() -> str:
    return f"{sys.version_info[0]}.{sys.version_info[1]}"


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@contextmanager
def _one_at_a_time() -> Iterator[int]:
    # The repository's folder itself is locked: .venv comes and goes, and no file is left behind.
    descriptor = os.open(ROOT, os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say("another run is installing here; waiting for it")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _say(line: str) -> None:
    print(f"hostmeter: {line}", file=sys.stderr, flush=True)


def _install(requirements: Path, lock: int) -> None:
    """The installer inherits the lock: should we be killed, the next run waits for its end."""
    started_at = time.monotonic()
    _say(f"installing {requirements.name} into {VENV.name}")
    if UNFINISHED.exists() or not _is_usable():
        _create_environment()
    # Until the stamp is written again, another start finds this and begins anew.
    UNFINISHED.touch()
    STAMP.unlink(missing_ok=True)
    settings = index_settings(os.environ, configuration_files(os.environ))
    uv = shutil.which("uv")
    if uv is None or not _installed_by_uv(uv, requirements, settings, lock):
        _install_by_pip(requirements, settings, lock)
    stamp = {"python": _python_version(), requirements.name: _digest(requirements)}
    if requirements.name == "requirements-dev.txt":  # which contains the others
        stamp["requirements.txt"] = _digest(ROOT / "requirements.txt")
    STAMP.write_text(json.dumps(stamp) + "\n", "utf-8")
    UNFINISHED.unlink()
    _say(f"installed in {time.monotonic() - started_at:.1f} s")


def _is_usable() -> bool:
    """Whether .venv is a complete environment of this version of Python."""
    library = VENV / "lib" / f"python{_python_version()}" / "site-packages"
    python = VENV / "bin" / "python"
    return (VENV / "pyvenv.cfg").is_file() and library.is_dir() and os.access(python, os.X_OK)


def _create_environment() -> None:
    if VENV.is_symlink() or VENV.is_file():
        raise BootstrapError(f"{VENV} is in the way: it should be a folder")
    if VENV.exists():
        shutil.rmtree(VENV)
    VENV.mkdir()
    UNFINISHED.touch()
    venv.EnvBuilder(with_pip=False, symlinks=True).create(VENV)


def configuration_files(environment: Mapping[str, str]) -> list[Path]:
    """pip's configuration files; the later ones win."""
    named = environment.get("PIP_CONFIG_FILE")
    if named == os.devnull:
        return []
    home = Path(environment.get("HOME") or Path.home())
    personal = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
    shared = [Path(p) for p in environment.get("XDG_CONFIG_DIRS", "/etc/xdg").split(":") if p]
    files = [*(folder / "pip" / "pip.conf" for folder in reversed(shared)), Path("/etc/pip.conf")]
    files += [home / ".pip" / "pip.conf", personal / "pip" / "pip.conf"]
    return [*files, Path(named)] if named else files


def index_settings(environment: Mapping[str, str], files: list[Path]) -> IndexSettings:
    """The configured package index: pip's variables, then uv's, then pip's files, then PyPI."""
    options = _file_options(files)
    uv_index = environment.get("UV_DEFAULT_INDEX") or environment.get("UV_INDEX_URL")
    first = environment.get("PIP_INDEX_URL") or uv_index or options.get("index-url") or PUBLIC_INDEX
    more = environment.get("PIP_EXTRA_INDEX_URL") or options.get("extra-index-url") or ""
    named = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
    certificates = next((environment[name] for name in named if environment.get(name)), None)
    return IndexSettings(
        urls=tuple(url.rstrip("/") for url in (first, *more.split())),
        certificates=certificates or options.get("cert"),
        proxy=environment.get("PIP_PROXY") or options.get("proxy"),
    )


def _file_options(files: list[Path]) -> dict[str, str]:
    options: dict[str, str] = {}
    for path in files:
        parser = configparser.RawConfigParser()
        try:
            parser.read(path, "utf-8")
        except (configparser.Error, UnicodeDecodeError) as error:
            raise BootstrapError(f"{path} cannot be read: {str(error).splitlines()[0]}") from None
        for section in ("global", "install"):
            if parser.has_section(section):
                options |= {name.replace("_", "-"): text for name, text in parser.items(section)}
    return options


def _installed_by_uv(uv: str, requirements: Path, settings: IndexSettings, lock: int) -> bool:
    # uv does not read pip's files; what they say is passed on, a caller's own variables win.
    environment = {"UV_DEFAULT_INDEX": settings.urls[0]}
    if len(settings.urls) > 1:
        environment["UV_INDEX"] = " ".join(settings.urls[1:])
    if settings.certificates:
        environment["SSL_CERT_FILE"] = settings.certificates
    if os.environ.get("UV_INDEX_URL"):
        del environment["UV_DEFAULT_INDEX"]
    arguments = [uv, "pip", "install", "--quiet", "--require-hashes", "--no-deps"]
    arguments += ["--python", str(VENV / "bin" / "python"), "-r", str(requirements)]
    done = subprocess.run(
        arguments, env=environment | dict(os.environ), pass_fds=(lock,), check=False
    )
    if done.returncode != 0:
        _say("uv did not install it; trying pip")
    return done.returncode == 0


def _install_by_pip(requirements: Path, settings: IndexSettings, lock: int) -> None:
    wheel = _pip_wheel(settings)
    # Every requirement is pinned with its hash, so nothing is left to resolve (--no-deps), and
    # compiling 5,000 modules ahead costs more than compiling the ones that are used.
    options = ["--require-hashes", "--no-deps", "--no-compile", "--disable-pip-version-check"]
    arguments = [str(VENV / "bin" / "python"), f"{wheel}/pip", "install", "--quiet", "--no-input"]
    environment = {"PIP_INDEX_URL": settings.urls[0]} | dict(os.environ)
    if settings.certificates:
        environment.setdefault("PIP_CERT", settings.certificates)
    environment["PIP_ROOT_USER_ACTION"] = "ignore"
    done = subprocess.run(
        [*arguments, *options, "-r", str(requirements)],
        env=environment,
        pass_fds=(lock,),
        check=False,
        stderr=subprocess.PIPE,
        text=True,
    )
    if done.returncode != 0:
        raise BootstrapError(f"{_reason(done.stderr)}; {INDEX_ADVICE}")


def _reason(messages: str) -> str:
    """The line of pip's messages that says why."""
    errors = re.findall(r"^ERROR: (.+)$", messages, re.MULTILINE)
    if errors:
        return str(errors[-1])
    lines = messages.strip().splitlines()
    return lines[-1] if lines else "pip failed"


def _pip_wheel(settings: IndexSettings) -> Path:
    """pip's wheel, kept in .venv between installations."""
    path = VENV / PIP_WHEEL
    if not path.is_file() or _digest(path) != PIP_SHA256:
        path.write_bytes(fetch_wheel(settings))
    return path


def fetch_wheel(settings: IndexSettings) -> bytes:
    """pip's wheel from the first index that has it. Raises BootstrapError."""
    opener = _opener(settings)
    problems = []
    for index in settings.urls:
        try:
            wheel = _fetch_from(opener, index)
        except (OSError, ValueError) as error:
            problems.append(f"{_without_password(index)}: {_cause(error)}")
            continue
        if hashlib.sha256(wheel).hexdigest() == PIP_SHA256:
            return wheel
        problems.append(f"{_without_password(index)}: {PIP_WHEEL} is not the one that was pinned")
    raise BootstrapError(f"pip cannot be fetched ({'; '.join(problems)}); {INDEX_ADVICE}")


def _cause(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code}"
    return str(error.reason if isinstance(error, urllib.error.URLError) else error)


def _opener(settings: IndexSettings) -> urllib.request.OpenerDirector:
    handlers: list[urllib.request.BaseHandler] = [
        urllib.request.HTTPSHandler(context=_tls_context(settings.certificates))
    ]
    if settings.proxy:
        proxies = {"http": settings.proxy, "https": settings.proxy}
        handlers.append(urllib.request.ProxyHandler(proxies))
    return urllib.request.build_opener(*handlers)


def _tls_context(certificates: str | None) -> ssl.SSLContext:
    if certificates:
        if os.path.isdir(certificates):
            return ssl.create_default_context(capath=certificates)
        return ssl.create_default_context(cafile=certificates)
    context = ssl.create_default_context()
    paths = ssl.get_default_verify_paths()
    if not paths.cafile and not (paths.capath and os.listdir(paths.capath)):
        # A machine without any CA certificates cannot verify anyone. What is trusted is the hash of
        # the one file that is fetched this way; pip brings certificates of its own for the rest.
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _fetch_from(opener: urllib.request.OpenerDirector, index: str) -> bytes:
    page_url = f"{index}/pip/" + ("index.html" if index.startswith("file:") else "")
    page = _read(opener, page_url, PAGE_BYTES_MAX).decode("utf-8", "replace")
    for link in re.findall(r"""<a\s[^>]*?href\s*=\s*["']([^"']+)["']""", page, re.IGNORECASE):
        address = urllib.parse.urldefrag(link.replace("&amp;", "&")).url
        if urllib.parse.unquote(address.split("?")[0]).endswith("/" + PIP_WHEEL):
            return _read(opener, urllib.parse.urljoin(page_url, address), PIP_BYTES_MAX)
    raise ValueError(f"has no {PIP_WHEEL}")


def _read(opener: urllib.request.OpenerDirector, url: str, bytes_max: int) -> bytes:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in {"http", "https", "file"}:
        raise ValueError("is no http(s) or file URL")
    headers = {"Accept": "application/vnd.pypi.simple.v1+html, text/html;q=0.5, */*;q=0.1"}
    if "@" in parts.netloc:
        user, _, server = parts.netloc.rpartition("@")
        token = base64.b64encode(urllib.parse.unquote(user).encode()).decode()
        headers["Authorization"] = f"Basic {token}"
        url = urllib.parse.urlunsplit(parts._replace(netloc=server))
    request = urllib.request.Request(url, headers=headers)  # noqa: S310  the scheme was checked
    with opener.open(request, timeout=FETCH_TIMEOUT_S) as answer:
        body: bytes = answer.read(bytes_max + 1)
    if len(body) > bytes_max:
        raise ValueError("answers with more than was expected")
    return body


def _without_password(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    return urllib.parse.urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
