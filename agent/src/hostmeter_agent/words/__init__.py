"""What applications say themselves: access logs, Prometheus endpoints, OTLP and StatsD."""
