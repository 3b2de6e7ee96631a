"""A wheel that holds the intercepting library is one machine's; without it, every machine's."""

import platform
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

LIBRARY = "src/hostmeter_agent/lib/libhostmeter_intercept.so"


class PlatformTag(BuildHookInterface):  # type: ignore[type-arg]
    """The library is there when agent/intercept/build was run before the wheel is built."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if not (Path(self.root) / LIBRARY).exists():
            return
        build_data["artifacts"].append(LIBRARY)
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-manylinux_2_34_{platform.machine()}"
