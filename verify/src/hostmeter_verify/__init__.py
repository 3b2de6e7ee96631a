"""Recomputes an invoice from its proof bundle: standard library and the pure rating core only."""

__version__ = "0.1.0"
