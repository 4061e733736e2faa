"""Rules and dashboards name metrics that exist, and every alert tells what to do."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from deploy.grafana import dashboard
from services import SERVICES
from services.ingest.usage import Usage
from shared.bus.metrics import Metrics

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "prometheus"
FOREIGN = {"up", "redis_up", "redis_memory_used_bytes", "redis_memory_max_bytes", "process_resident_memory_bytes"}
WORDS = {"sum", "max", "count", "by", "rate", "increase", "histogram_quantile", "absent", "and", "or"}
WORDS |= {"le", "stage", "phase", "tenant"}


def rules(name: str) -> list[dict[str, Any]]:
    parsed = yaml.safe_load((FOLDER / name).read_text())
    return [rule for group in parsed["groups"] for rule in group["rules"]]


def known() -> set[str]:
    """Names under which the metrics of a process are scraped, and those of the recording rules."""
    metrics = [*vars(Metrics(CollectorRegistry())).values(), *vars(Usage(CollectorRegistry())).values()]
    names = set(FOREIGN)
    for metric in metrics:
        if isinstance(metric, Counter | Gauge | Histogram):
            (family,) = metric.describe()
            suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(family.type, [""])
            names |= {family.name + suffix for suffix in suffixes}
    return names | {rule["record"] for rule in rules("recording.yml")}


def named(expression: str) -> set[str]:
    """The metrics in an expression."""
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]", "", expression)
    return {word for word in re.findall(r"[a-zA-Z_][\w:]*", bare) if word not in WORDS}


@pytest.mark.parametrize("name", ["recording.yml", "alerts.yml"])
def test_rules_name_metrics_that_exist(name: str) -> None:
    for rule in rules(name):
        assert named(rule["expr"])
        assert named(rule["expr"]) <= known(), rule


def test_every_alert_says_how_bad_it_is_and_has_a_section_in_the_manual() -> None:
    manual = (ROOT / "docs" / "operating.md").read_text()
    for rule in rules("alerts.yml"):
        assert rule["labels"]["severity"] in ("info", "warning", "critical")
        assert rule["annotations"]["summary"].endswith(".")
        assert f"### {rule['alert']}\n" in manual


def test_every_metric_and_every_series_is_in_the_manual() -> None:
    manual = (ROOT / "docs" / "operating.md").read_text()
    found = set(re.findall(r"`([a-z][\w:]*)`", manual))
    buckets = {name.removesuffix(suffix) for name in known() for suffix in ("_bucket", "_sum", "_count")}
    histograms = {name for name in buckets if f"{name}_bucket" in known()}
    plain = {name for name in known() - FOREIGN if not name.endswith(("_bucket", "_sum", "_count"))}
    assert (plain | histograms) - found == set()
    documented = set(re.findall(r"^\| (`[^|]*) \| `(?:stage|tenant)`", manual, re.MULTILINE))
    told = {name for row in documented for name in re.findall(r"`(\w+)`", row)}
    assert told - plain - histograms == set()


def test_no_metric_is_registered_that_the_manual_test_does_not_know() -> None:
    sources = [path for folder in ("services", "shared") for path in (ROOT / folder).rglob("*.py")]
    imports = re.compile(r"prometheus_client import .*\b(Counter|Gauge|Histogram|Summary)")
    made = {path.name for path in sources if imports.search(path.read_text())}
    assert made == {"metrics.py", "usage.py"}


def test_every_service_is_scraped() -> None:
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    job = next(job for job in config["scrape_configs"] if job["job_name"] == "dragoman")
    assert set(SERVICES) <= set(job["dns_sd_configs"][0]["names"])


def test_the_dashboard_file_is_what_its_script_writes_and_names_metrics_that_exist() -> None:
    assert dashboard.FILE.read_text() == dashboard.text()
    for _, query, *_ in dashboard.PANELS:
        assert named(query) <= known(), query


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_finds_nothing_to_mend() -> None:
    for kind, names in (("rules", ("recording.yml", "alerts.yml")), ("config", ("prometheus.yml",))):
        for name in names:
            syntax = ["--syntax-only"] if kind == "config" else []
            done = subprocess.run(
                ["promtool", "check", kind, *syntax, FOLDER / name], capture_output=True, text=True, timeout=20
            )
            assert done.returncode == 0, done.stdout + done.stderr
