"""The image of each service: its stage in the Dockerfile, its files, its user."""

import re
import tomllib
from pathlib import Path

import pytest

from services import SERVICES

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()
STAGES = re.findall(r"^FROM \S+ AS (\S+)$", DOCKERFILE, re.MULTILINE)
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_has_a_stage_of_its_name_with_its_own_extra(service: str) -> None:
    assert service in STAGES
    assert service in EXTRAS
    assert f"'.[{service}]'" in DOCKERFILE


def test_the_last_stage_is_chosen_by_the_build_argument_and_holds_one_service() -> None:
    last = DOCKERFILE.rpartition("\nFROM ")[2]
    assert last.startswith("${SERVICE} AS ")
    copied = [line for line in last.splitlines() if line.startswith("COPY")]
    assert {"COPY shared shared", "COPY services/${SERVICE} services/${SERVICE}"} < set(copied)
    assert len(copied) == 3


def test_images_run_without_root_are_checked_and_listen_on_every_address() -> None:
    last = DOCKERFILE.rpartition("\nFROM ")[2]
    assert re.search(r"^USER 10001:10001$", last, re.MULTILINE)
    assert "HEALTHCHECK" in last
    assert "/healthz" in last
    assert "HOST=0.0.0.0" in last


def test_every_copied_file_is_sent_to_the_builder() -> None:
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE):
        for source in line.split()[:-1]:
            assert source.split("/")[0] in sent
            assert (ROOT / source.replace("${SERVICE}", "asr")).exists()


def test_asr_is_built_for_either_family_and_for_no_other() -> None:
    asr = DOCKERFILE.partition("FROM base AS asr\n")[2].partition("\nFROM ")[0]
    assert "ARG FAMILY=embedded" in asr
    assert set(re.findall(r"^ *([a-z*]+)\) ", asr, re.MULTILINE)) == {"embedded", "neural", "*"}
