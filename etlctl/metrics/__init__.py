"""Metrics: what ran, how long it took, how late it was, for Prometheus by scrape and by textfile."""

from etlctl.metrics.metrics import Metrics

__all__ = ["Metrics"]
