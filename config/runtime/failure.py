"""The one error of this package that a user sees."""


class CannotRun(Exception):
    """Something cannot start or go on; the message is one line saying what and why."""
