"""Putting the agent on a host, taking it off, and saying what it can do there."""
