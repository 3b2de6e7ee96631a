"""How the runtime's commands read their arguments."""

from argparse import ArgumentParser
from typing import Any


class OneLineParser(ArgumentParser):
    """Says in one line which argument is wrong; --help has all of them."""

    def print_usage(self, file: Any = None) -> None:
        pass
