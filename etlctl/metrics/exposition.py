"""Figures as Prometheus' text, and back. The one file that knows prometheus_client (extra `metrics`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from etlctl.errors import UsageError
from etlctl.metrics.figures import ALL, BUCKETS_S, Figure, Figures, Kind, Spread, figure_named

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def needed() -> None:
    """UsageError where prometheus_client is not installed."""
    try:
        import prometheus_client  # noqa: F401  whether it is there
    except ImportError as error:
        raise UsageError(
            'Metrics need the package prometheus-client: pip install "etlctl[metrics]". Or take textfile out of '
            "[metrics] in the settings."
        ) from error


def text_of(figures: Figures) -> str:
    """In the text format, version 0.0.4, which the scrape and node_exporter's textfile collector read alike."""
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.registry import Collector

    class Ours(Collector):
        def collect(self) -> Iterator[Any]:
            return _families(figures)

        def describe(self) -> list[Any]:
            return []

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Ours())
    return generate_latest(registry).decode("utf-8")


def figures_of(text: str) -> Figures:
    """What `text_of` was given; what is not ours in it is left out. ValueError for what is no such text."""
    from prometheus_client.parser import text_string_to_metric_families

    found = Figures()
    for family in text_string_to_metric_families(text):
        figure = figure_named(family.name)
        if figure is None:
            continue
        if figure.kind is Kind.HISTOGRAM:
            _read_spreads(found, figure, family.samples)
            continue
        for sample in family.samples:
            if set(sample.labels) == set(figure.labels):
                found.numbers[figure, tuple(sample.labels[name] for name in figure.labels)] = float(sample.value)
    return found


def _families(figures: Figures) -> Iterator[Any]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    for figure in ALL:
        if figure.kind is Kind.HISTOGRAM:
            histogram = HistogramMetricFamily(figure.name, figure.help, labels=figure.labels)
            for labels, spread in figures.spreads_of(figure):
                histogram.add_metric(list(labels), _cumulated(spread), spread.total)
            family: Any = histogram
        else:
            made = CounterMetricFamily if figure.kind is Kind.COUNTER else GaugeMetricFamily
            family = made(figure.name, figure.help, labels=figure.labels)
            for labels, value in figures.of(figure):
                family.add_metric(list(labels), value)
        if family.samples:
            yield family


def _cumulated(spread: Spread) -> list[tuple[str, float]]:
    found, sum_ = [], 0.0
    for bound, count in zip([*map(_bound, BUCKETS_S), "+Inf"], spread.counts, strict=True):
        sum_ += count
        found.append((bound, sum_))
    return found


def _bound(seconds: float) -> str:
    return str(float(seconds))


def _read_spreads(found: Figures, figure: Figure, samples: Iterable[Any]) -> None:
    bounds = [*BUCKETS_S, float("inf")]
    for sample in samples:
        labels = tuple(sample.labels.get(name, "") for name in figure.labels)
        spread = found.spreads.setdefault((figure, labels), Spread())
        if sample.name.endswith("_sum"):
            spread.total = float(sample.value)
        elif sample.name.endswith("_bucket") and float(sample.labels["le"]) in bounds:
            spread.counts[bounds.index(float(sample.labels["le"]))] = float(sample.value)
    for (one, _), spread in found.spreads.items():
        if one == figure:
            spread.counts = [count - below for below, count in zip([0.0, *spread.counts], spread.counts, strict=False)]
