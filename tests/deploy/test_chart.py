"""The chart as far as it can be read without Helm: values, names, blocks; every service with its own stages."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from deploy import acl
from services import MESH, SERVICES

CHART = Path(__file__).parents[2] / "deploy" / "helm" / "dragoman"
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
TEMPLATES = sorted((CHART / "templates").iterdir())
OPTIONAL = {"outside", "store", "env", "gpu", "models", "nodeSelector", "secret"}


def actions(path: Path) -> list[str]:
    return [action.strip() for action in re.findall(r"\{\{-?(.*?)-?\}\}", path.read_text(), re.DOTALL)]


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_every_block_of_a_template_is_closed(path: Path) -> None:
    depth = 0
    for action in actions(path):
        depth += action.split()[0] in ("if", "range", "with", "define")
        depth -= action == "end"
        assert depth >= 0
    assert depth == 0


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_every_value_that_a_template_names_exists(path: Path) -> None:
    text = path.read_text()
    for name in re.findall(r"\.Values\.([\w.]+)", text):
        at: Any = VALUES
        for part in name.split("."):
            assert part in at, name
            at = at[part]
    for name in re.findall(r"\$service\.([\w.]+)", text):
        if name.split(".")[0] not in OPTIONAL:
            at = VALUES["services"]["asr"]
            for part in name.split("."):
                assert part in at, name
                at = at[part]


def test_the_chart_has_every_service_and_scales_it_by_its_own_stages() -> None:
    assert set(VALUES["services"]) == set(SERVICES)
    for name, service in VALUES["services"].items():
        taking = [stage for stage in acl.stages(name) if MESH.steps[stage].consumes]
        assert service["stages"] == taking
        assert bool(service["slots"]) == bool(taking)
        assert 1 <= service["replicas"]["min"] <= service["replicas"]["max"]


def test_only_the_downloader_reaches_the_outside_and_those_that_store_reach_the_store() -> None:
    services = VALUES["services"]
    assert [name for name in services if services[name].get("outside")] == ["downloader"]
    assert [name for name in services if services[name].get("store")] == ["downloader", "tts", "sender"]


def test_pods_get_longer_to_stop_than_their_turns() -> None:
    assert VALUES["grace"] > 10
