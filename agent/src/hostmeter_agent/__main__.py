"""`python -m hostmeter_agent`."""

import sys

from hostmeter_agent.cli import main

if __name__ == "__main__":
    sys.exit(main())
