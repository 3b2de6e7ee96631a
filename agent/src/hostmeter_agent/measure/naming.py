"""The name of the program that a process runs: pure, deterministic, from what /proc says.

The order of precedence (docs/agent.md gives examples):

1. argv[0], where it names something else than the executable or an interpreter
   (a symlink, `exec -a NAME`, a process title such as "postgres: checkpointer");
2. the kernel's short name (comm), where the program has set it itself (PR_SET_NAME);
3. for an interpreter, the script or module that it runs;
4. the executable's file name, without a version for a bare interpreter.
"""

import re
from typing import Final

from hostmeter_agent.wire import NAME_LENGTH_MAX

_COMM_LENGTH: Final = 15
_DELETED: Final = " (deleted)"

INTERPRETER = re.compile(
    r"^(?P<family>python|pypy|perl|ruby|node|nodejs|php|lua|java|Rscript|tclsh|wish|guile"
    r"|bash|sh|dash|ash|zsh|ksh|mksh|fish)[-0-9.]*$"
)
_SHELLS: Final = frozenset({"bash", "sh", "dash", "ash", "zsh", "ksh", "mksh", "fish"})
# Flags after which code stands on the command line, alone or last in a cluster (`perl -ne CODE`).
_PYTHON_CODE: Final = re.compile(r"^-[bBdEiIOPqsSuvx]*c")
_PERL_CODE: Final = re.compile(r"^-[acdflnpsStTuUvwWX0-9]*[eE]")
_RUBY_CODE: Final = re.compile(r"^-[aclnpsvw]*e")
_NODE_CODE: Final = re.compile(r"^(-[ip]*[ep]|--eval|--print)")
_PHP_CODE: Final = re.compile(r"^(-[nq]*[rBRE]|--run)")
_LUA_CODE: Final = re.compile(r"^-e")
_SHELL_CODE: Final = re.compile(r"^-[a-zA-Z]*c")
_CODE_FLAGS: Final = {
    "python": _PYTHON_CODE,
    "pypy": _PYTHON_CODE,
    "perl": _PERL_CODE,
    "ruby": _RUBY_CODE,
    "node": _NODE_CODE,
    "nodejs": _NODE_CODE,
    "php": _PHP_CODE,
    "lua": _LUA_CODE,
    "guile": re.compile(r"^-c"),
    "Rscript": re.compile(r"^-e"),
    **dict.fromkeys(_SHELLS, _SHELL_CODE),
}
_PYTHON_MODULE: Final = re.compile(r"^-[bBdEiIOPqsSuvx]*m(.*)$")
# What may become a name: a file's or a module's. Anything else on a command line stays there.
_FILE_LIKE: Final = re.compile(r"^[\w./@+:,~%=-]{1,4096}$")
_FLAGS_WITH_VALUE: Final = {
    "python": ("-W", "-X", "--check-hash-based-pycs"),
    "pypy": ("-W", "-X"),
    "perl": ("-I", "-M"),
    "ruby": ("-I", "-r", "-C"),
    "node": ("-r", "--require", "--import", "--loader"),
    "php": ("-d", "-c", "-f"),
    "java": ("-cp", "-classpath", "--class-path", "-p", "--module-path", "--add-modules"),
    **dict.fromkeys(_SHELLS, ("-o", "-O", "--rcfile", "--init-file")),
}
_SCRIPT_SUFFIXES: Final = (
    ".py", ".pyc", ".pyw", ".pyz", ".sh", ".bash", ".pl", ".rb", ".js", ".mjs", ".cjs", ".php",
    ".lua", ".jar", ".R", ".tcl",
)  # fmt: skip
# Names that runtimes give their main thread by themselves; no one chose them for the program.
_RUNTIME_COMMS: Final = frozenset({"MainThread", "node-MainThread", "main", "exe"})


def basename(path: str) -> str:
    """The last component of a path, without the kernel's mark of a deleted file."""
    return path.removesuffix(_DELETED).rstrip("/").rpartition("/")[2]


def clean(name: str) -> str:
    """`name` within the wire contract's bounds: no control characters, at most 200 characters."""
    visible = "".join(c for c in name if c.isprintable()).strip()
    return visible[:NAME_LENGTH_MAX].rstrip() or "unnamed"


def interpreter_family(name: str) -> str | None:
    """The interpreter's name without its version (python for python3.11), None for others."""
    found = INTERPRETER.match(name)
    return found["family"] if found else None


def _title_word(argv0: str) -> str:
    """The program's name in argv[0], which may be a path or a whole process title."""
    title = argv0.strip().lstrip("-").removeprefix("[")
    if title == "/proc/self/exe":
        return ""
    word = title.split(": ", 1)[0].rstrip(":") if ": " in title or title.endswith(":") else title
    if " " in word and not word.startswith("/"):
        word = word.split(" ", 1)[0]
    return basename(word).rstrip("]:").strip()


def _stem(path: str) -> str:
    name = basename(path)
    if name in ("__main__.py", "__init__.py"):
        return basename(path.rpartition("/")[0]) or name
    for suffix in _SCRIPT_SUFFIXES:
        if name.endswith(suffix) and len(name) > len(suffix):
            return name.removesuffix(suffix)
    return name


def _is_script(word: str) -> bool:
    if not _FILE_LIKE.match(word) or word.endswith("/"):
        return False
    return word != "-" and not word.startswith(("/dev/fd/", "/proc/self/fd/", "/dev/std"))


def runs_code_from_arguments(family: str, argv: list[str]) -> bool:
    """Whether an interpreter runs code given on its command line (`sh -c`, `python -c`)."""
    flag, valued = _CODE_FLAGS.get(family), _FLAGS_WITH_VALUE.get(family, ())
    words = iter(argv[1:])
    for word in words:
        if word in valued:
            next(words, None)
        elif not word.startswith(("-", "+")) or word == "--":
            return False
        elif flag is not None and flag.match(word):
            return True
    return False


def script_name(family: str, argv: list[str]) -> str | None:
    """What an interpreter runs: its script's file name or its module's, or None for neither."""
    if runs_code_from_arguments(family, argv):
        return None
    words = iter(argv[1:])
    for word in words:
        module = _PYTHON_MODULE.match(word) if family in ("python", "pypy") else None
        if module is not None:
            name = module[1] or next(words, "")
            return name.removesuffix(".__main__") if _is_script(name) else None
        if family == "java" and word == "-jar":
            jar = next(words, "")
            return _stem(jar) if _is_script(jar) else None
        if word in _FLAGS_WITH_VALUE.get(family, ()):
            next(words, None)
        elif not word.startswith(("-", "+")):
            return _script_or_class(family, word) if _is_script(word) else None
    return None


def _script_or_class(family: str, word: str) -> str:
    return word.rpartition(".")[2] if family == "java" else _stem(word)


def _own_title(argv0: str, executable: str) -> str | None:
    word = _title_word(argv0)
    if word == executable or interpreter_family(word) or not _FILE_LIKE.match(word):
        return None
    return word


def _own_comm(comm: str, known: list[str]) -> str | None:
    name = comm.split(": ", 1)[0].rstrip(":").removeprefix("[").strip()
    if not name or name in _RUNTIME_COMMS or interpreter_family(name):
        return None
    if any(other and other[:_COMM_LENGTH] == comm for other in known):
        return None
    return name


def program_name(executable: str, argv: list[str], comm: str) -> str:
    """The name of the program a process runs.

    executable: the target of /proc/PID/exe, "" where it cannot be read; argv: its command line;
    comm: the kernel's short name. Never empty.
    """
    exe = basename(executable) if executable else ""
    argv0 = argv[0] if argv else ""
    title = _own_title(argv0, exe) if argv0 else None
    family = interpreter_family(exe or _title_word(argv0) or comm)
    script = script_name(family, argv) if family else None
    if title is not None:
        return clean(title)
    script_file = next((basename(w) for w in argv[1:] if script and _stem(w) == script), "")
    own = _own_comm(comm, [exe, _title_word(argv0), script or "", script_file])
    if own is not None and not exe.startswith("memfd:"):
        return clean(own)
    return clean(script or family or exe or _title_word(argv0) or comm)
