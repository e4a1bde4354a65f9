"""Topology-aware losses: one loss, one file."""
