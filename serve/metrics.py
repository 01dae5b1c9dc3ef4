"""What Prometheus is told: the job table in numbers, and what this door refused.

    curl -H "Authorization: Bearer $KEY" localhost:8000/metrics

Gauges come from the table and are the same from every door. Counters are this process's own: with several doors behind one address,
`sum by (reason)` over scrapes of each. Guarded as the API is: a scrape needs a key (Prometheus: `authorization: {credentials: …}`).
"""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from serve.events import Watch
from serve.job import State
from serve.jobs import JobTable
from synclora.errors import Reason

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """One per door. `text` blocks: it asks the table."""

    def __init__(self, table: JobTable, watch: Watch) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(TableCollector(table))
        self._refused = Counter(
            "synclora_edits_refused", "Requests for an edit that were refused, by reason.", ["reason"], registry=self._registry
        )
        watchers = Gauge("synclora_event_streams", "Open event streams of this door.", registry=self._registry)
        watchers.set_function(lambda: watch.watchers)

    def refused(self, reason: Reason) -> None:
        """Count a refusal."""
        self._refused.labels(reason.value).inc()

    def text(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self._registry)


class TableCollector(Collector):
    """The table's rows, counted when asked."""

    def __init__(self, table: JobTable) -> None:
        self._table = table

    def describe(self) -> list[Metric]:
        """Nothing: registering must not ask the table."""
        return []

    def collect(self) -> Iterator[Metric]:
        """One question."""
        counts = self._table.counts()
        jobs = GaugeMetricFamily(
            "synclora_jobs", "Edits in the table, by state; failed ones by reason.", labels=["state", "reason"]
        )
        for state, number in counts.states.items():
            if state is not State.FAILED:
                jobs.add_metric([state.value, ""], number)
        for reason, number in counts.failures.items():
            jobs.add_metric([State.FAILED.value, reason], number)
        if not counts.failures:
            jobs.add_metric([State.FAILED.value, ""], 0)
        yield jobs
        yield GaugeMetricFamily("synclora_queue_length", "Edits that wait.", value=counts.queued)
        oldest = 0.0 if counts.oldest_s is None else counts.oldest_s
        yield GaugeMetricFamily("synclora_queue_oldest_seconds", "How long the first of the queue has waited.", value=oldest)
