"""Measurements of billing, each in a scratch database."""
