"""python -m deploy.grafana.dashboard: writes dashboards/dragoman.json, the whole mesh on one page of Grafana."""

import json
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent / "dashboards" / "dragoman.json"
SOURCE = {"type": "prometheus", "uid": "prometheus"}
WIDTH, HEIGHT, PER_ROW = 8, 8, 3

PANELS = (
    (
        "Busy ratio",
        "stage:busy_ratio:rate1m",
        "{{stage}}",
        "percentunit",
        "Slot-seconds used of those available. Above 0.7: add replicas.",
    ),
    ("Lag, p99", "stage:lag_seconds:p99_1m", "{{stage}}", "s", "How long mail waits for its turn."),
    ("Lag, median", "stage:lag_seconds:p50_1m", "{{stage}}", "s", "How long mail waits for its turn."),
    ("Turns", "stage:turns:rate1m", "{{stage}}", "ops", "Turns committed a second."),
    ("Messages", "stage:messages:rate1m", "{{stage}}", "ops", "Messages handled a second."),
    (
        "Handling, p99",
        'stage_phase:turn_seconds:p99_1m{phase="handle"}',
        "{{stage}}",
        "s",
        "What the engine takes of a turn.",
    ),
    ("Commit, p99", 'stage_phase:turn_seconds:p99_1m{phase="commit"}', "{{stage}}", "s", "What Redis takes of a turn."),
    ("Replicas", "stage:replicas", "{{stage}}", "none", "Replicas that answer."),
    (
        "State found in memory",
        "stage:warm_ratio:rate5m",
        "{{stage}}",
        "percentunit",
        "Turns that did not load their state.",
    ),
    (
        "Emissions of sources",
        "sum by (stage) (rate(emissions_total[1m]))",
        "{{stage}}",
        "ops",
        "About one a source segment and one a second.",
    ),
    (
        "Put aside",
        "sum by (stage) (increase(dead_letters_total[5m]))",
        "{{stage}}",
        "none",
        "Each is a hole in one stream.",
    ),
    ("Repeated", "sum by (stage) (rate(retries_total[1m]))", "{{stage}}", "ops", "Turns handed back after a failure."),
    ("Swept", "sum by (stage) (rate(swept_total[1m]))", "{{stage}}", "ops", "Turns of replicas that fell silent."),
    ("Fenced", "sum by (stage) (rate(fenced_total[1m]))", "{{stage}}", "ops", "Turns that had been given to another."),
    ("Streams", "tenant:streams", "{{tenant}}", "none", "Running streams of each tenant."),
    ("Minutes of a day", "tenant:minutes", "{{tenant}}", "m", "Minutes of streams within the last 24 hours."),
    ("Calls", "tenant:requests:rate1m", "{{tenant}}", "reqps", "Calls of the API with a valid key."),
    (
        "Memory of processes",
        'process_resident_memory_bytes{job="dragoman"}',
        "{{service}}",
        "bytes",
        "One line a replica; a slope that never ends is a leak.",
    ),
    (
        "Redis memory",
        "redis_memory_used_bytes / (redis_memory_max_bytes > 0)",
        "used",
        "percentunit",
        "At 1 every turn is refused.",
    ),
)
"""Title, query, legend, unit, what it says."""


def panel(number: int, title: str, query: str, legend: str, unit: str, text: str) -> dict[str, Any]:
    """One time series at its place in a grid of three columns."""
    row, column = divmod(number, PER_ROW)
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": title,
        "description": text,
        "datasource": SOURCE,
        "gridPos": {"x": column * WIDTH, "y": row * HEIGHT, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "options": {"tooltip": {"mode": "multi", "sort": "desc"}, "legend": {"displayMode": "list"}},
        "targets": [{"refId": "A", "datasource": SOURCE, "expr": query, "legendFormat": legend}],
    }


def dashboard() -> dict[str, Any]:
    """The page as Grafana imports it."""
    return {
        "uid": "dragoman",
        "title": "Dragoman",
        "tags": ["dragoman"],
        "schemaVersion": 39,
        "version": 1,
        "refresh": "5s",
        "time": {"from": "now-15m", "to": "now"},
        "timezone": "browser",
        "panels": [panel(number, *fields) for number, fields in enumerate(PANELS)],
    }


def text() -> str:
    """What the file holds."""
    return json.dumps(dashboard(), indent=1) + "\n"


if __name__ == "__main__":
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(text())
