"""The base of every failure that the command line reports as one line."""


class AgentError(Exception):
    """Something the operator can act on; its text is one line, fit to be shown as it is."""
