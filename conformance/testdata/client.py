"""Writes what a program with prometheus_client exposes to the file that is its argument, in OpenMetrics: all types,
exemplars, _created, units, timestamps. It does the same on each run."""

import sys
import time

time.time = lambda: 1700000000.123  # what _created says

from prometheus_client import CollectorRegistry, Counter, Enum, Gauge, Histogram, Info, Summary
from prometheus_client.core import (
    CounterMetricFamily,
    Exemplar,
    GaugeHistogramMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    StateSetMetricFamily,
    SummaryMetricFamily,
    Timestamp,
    UntypedMetricFamily,
)
from prometheus_client.openmetrics.exposition import generate_latest

registry = CollectorRegistry()


class Families:
    """Families which the client's own metrics cannot make."""

    def collect(self):
        at = Timestamp(1700003600, 5)
        h = GaugeHistogramMetricFamily("queue_seconds", "How old what waits is.", labels=["queue"], unit="seconds")
        h.add_metric(["a"], [("1.0", 3), ("10.0", 5), ("+Inf", 6)], 17.5)
        h.add_metric(["b"], [("1.0", 0), ("+Inf", 0)], 0, timestamp=at)
        yield h
        h = HistogramMetricFamily("given", "With exemplars.", labels=["a"])
        h.add_metric(
            ["b"],
            [("0.5", 1, Exemplar({"id": "x"}, 0.25)), ("+Inf", 2, Exemplar({"id": 'y"\\\n'}, 5.5, 1700000001.25))],
            5.75,
        )
        yield h
        c = CounterMetricFamily("since", "With a start.", labels=["a"])
        c.add_metric(["b"], 7, created=1690000000.5, timestamp=at)
        c.add_metric(["c"], 8)
        yield c
        s = StateSetMetricFamily("state", "States.", labels=["a"])
        s.add_metric(["b"], {"on": True, "off": False})
        yield s
        i = InfoMetricFamily("target", "Info.", labels=["a"])
        i.add_metric(["b"], {"version": "1.2", "unit": "ç"})
        yield i
        s = SummaryMetricFamily("sizes_bytes", "No quantiles.", labels=["a"], unit="bytes")
        s.add_metric(["b"], 3, 4.5)
        yield s
        u = UntypedMetricFamily("whatever", "")
        u.add_metric([], float("nan"))
        yield u
        yield GaugeMetricFamily("empty", "No metrics.")


registry.register(Families())
requests = Counter("requests", "Requests, with \\ and\na newline.", ["path"], registry=registry)
for i, path in enumerate(["/", '/a"b\\c\nd', "/é"]):
    requests.labels(path).inc(i * 1e9, {"trace_id": "%032x" % i})
latency = Histogram("latency", "Latency.", ["path"], unit="seconds", registry=registry)
for i in range(50):
    exemplar = {"trace_id": "%032x" % i, "span": "é"} if i % 7 == 0 else None
    latency.labels("/").observe(i * i / 100, exemplar)
latency.labels("/none")
size = Summary("size_bytes", "Size.", registry=registry)
size.observe(1e6)
Gauge("temperature", "", ["room"], unit="celsius", registry=registry).labels("a").set(-1e-9)
Info("build", "Build.", registry=registry).info({"version": "1.0", "revision": "abc"})
Enum("phase", "Phase.", states=["starting", "running", "done"], registry=registry).state("running")

with open(sys.argv[1], "wb") as f:
    f.write(generate_latest(registry))
