"""Benchmarks of ingest and roll-up, each in a scratch database of its own."""
