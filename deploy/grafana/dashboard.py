"""python -m deploy.grafana.dashboard: writes dashboards/dragoman.json, the whole mesh on one page of Grafana."""

from pathlib import Path

from grafana_foundation_sdk.builders import common, prometheus, timeseries
from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import LegendDisplayMode, LegendPlacement, SortOrder, TooltipDisplayMode
from grafana_foundation_sdk.models.dashboard import DashboardCursorSync, DataSourceRef

FILE = Path(__file__).parent / "dashboards" / "dragoman.json"
SOURCE = DataSourceRef(type_val="prometheus", uid="prometheus")
WIDTH, HEIGHT = 8, 8
"""Of a panel in Grafana's grid, which is 24 columns wide."""

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


def panel(number: int, title: str, query: str, legend: str, unit: str, text: str) -> timeseries.Panel:
    """One time series."""
    return (
        timeseries.Panel()
        .id(number)
        .title(title)
        .description(text)
        .datasource(SOURCE)
        .height(HEIGHT)
        .span(WIDTH)
        .unit(unit)
        .min(0)
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING))
        .legend(
            common.VizLegendOptions()
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .with_target(prometheus.Dataquery().ref_id("A").expr(query).legend_format(legend))
    )


def dashboard() -> Dashboard:
    """The page as Grafana imports it."""
    page = (
        Dashboard("Dragoman")
        .uid("dragoman")
        .tags(["dragoman"])
        .refresh("5s")
        .time("now-15m", "now")
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .readonly()
    )
    for number, fields in enumerate(PANELS, 1):
        page.with_panel(panel(number, *fields))
    return page


def text() -> str:
    """What the file holds."""
    return JSONEncoder(sort_keys=True, indent=1).encode(dashboard().build()) + "\n"


if __name__ == "__main__":
    FILE.write_text(text())
