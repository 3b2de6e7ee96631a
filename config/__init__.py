"""Settings, entry points and how the parts are started together."""

import sys
from pathlib import Path

# The wire contract is part of the agent's distribution, which lies in this repository. Settings
# live in this package, so every way of starting the server comes through here.
_AGENT = str(Path(__file__).resolve().parent.parent / "agent" / "src")
if _AGENT not in sys.path:
    sys.path.append(_AGENT)
