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
