"""The enrolment token as the command line gives it: as a word, in a file, on standard input."""

import argparse
import sys

from hostmeter_agent.errors import AgentError

_TOKEN_BYTES_MAX = 10_000


class TokenUnreadable(AgentError):
    """What should hold the enrolment token does not."""


def token_given(arguments: argparse.Namespace) -> str | None:
    """The token of --token or --token-file; None without either. Raises TokenUnreadable."""
    if arguments.token is not None:
        return _checked("--token", arguments.token)
    return read_token(arguments.token_file) if arguments.token_file is not None else None


def read_token(file: str) -> str:
    """The token in a file of one line. Raises TokenUnreadable."""
    try:
        with sys.stdin if file == "-" else open(file, encoding="utf-8") as opened:
            token = opened.read(_TOKEN_BYTES_MAX).strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise TokenUnreadable(f"{file}: {reason}") from error
    return _checked(file, token)


def _checked(where: str, token: str) -> str:
    if not token or not token.isprintable() or " " in token or len(token) > _TOKEN_BYTES_MAX:
        raise TokenUnreadable(f"{where}: must hold one token and nothing else")
    return token
