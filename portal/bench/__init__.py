"""Measurements of pages, in a scratch database."""
