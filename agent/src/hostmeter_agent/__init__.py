"""Hostmeter's host agent: measures the applications of one host and delivers what it saw."""

__version__ = "0.1.0"
