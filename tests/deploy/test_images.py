"""The image of each service: its stage in the Dockerfile, its files, its user."""

import json
import os
import re
import shutil
import socket
import subprocess
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
            assert {source, source.split("/")[0]} & sent
            assert (ROOT / source.replace("${SERVICE}", "asr")).exists()


@pytest.mark.parametrize("service", ["asr", "segmenter", "speaker", "translator", "tts"])
def test_services_with_models_are_built_for_either_family_and_for_no_other(service: str) -> None:
    stage = DOCKERFILE.partition(f"FROM base AS {service}\n")[2].partition("\nFROM ")[0]
    assert "ARG FAMILY=embedded" in stage
    assert set(re.findall(r"^ *([a-z*]+)\) ", stage, re.MULTILINE)) == {"embedded", "neural", "*"}
    assert stage.count(f"'.[{service}]'") == 2


def test_no_package_is_installed_without_the_constraints() -> None:
    installs = re.findall(r"pip install ([^;&\n]*)", DOCKERFILE)
    assert installs
    assert all("-c constraints.txt" in words for words in installs)


def test_the_demo_installs_every_program_that_is_in_an_image() -> None:
    lines = re.findall(r"apt-get install -y --no-install-recommends ([^&\n\\]*)", DOCKERFILE)
    programs = {name for line in lines for name in line.split() if not name.startswith("$")}
    listed = re.search(r"^PACKAGES := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {"apertium", "espeak-ng", "rubberband-cli"} <= programs
    assert listed
    assert programs <= set(listed[1].split())


def test_the_health_check_answers_for_the_service(tmp_path: Path) -> None:
    shell = shutil.which("bash")
    assert shell
    last = DOCKERFILE.rpartition("\nFROM ")[2]
    words = json.loads(re.search(r"^    CMD (\[.*\])$", last, re.MULTILINE)[1])  # type: ignore[index]
    for status, expected in (("200 OK", 0), ("503 Service Unavailable", 1)):
        with socket.create_server(("127.0.0.1", 0)) as server:
            answer = f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
            port = str(server.getsockname()[1])
            process = subprocess.Popen([shell, *words[1:]], env={"PORT": port, "PATH": os.environ["PATH"]})
            connection, _ = server.accept()
            with connection:
                asked = b""
                while not asked.endswith(b"\r\n\r\n"):
                    asked += connection.recv(100)
                assert asked == b"GET /healthz HTTP/1.0\r\n\r\n"
                connection.sendall(answer)
            assert bool(process.wait(10)) == bool(expected)


def test_a_service_takes_the_settings_that_came_with_the_weights_unless_it_has_its_own(tmp_path: Path) -> None:
    last = DOCKERFILE.rpartition("\nFROM ")[2]
    shell, flag, line = json.loads(re.search(r"^CMD (\[.*\])$", last, re.MULTILINE)[1])  # type: ignore[index]
    (tmp_path / "neural.env").write_text(': "${ASR_ENGINE:=faster_whisper}"\n: "${ASR_DEVICE:=cuda}"\n')
    line = line.replace("/models", str(tmp_path)).replace("exec python -m services", "env; echo")
    told = subprocess.run(
        [shell, flag, line],
        env={"SERVICE": "asr", "ASR_DEVICE": "cpu", "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
        timeout=10,
    ).stdout.splitlines()
    assert {"ASR_ENGINE=faster_whisper", "ASR_DEVICE=cpu", "asr"} <= set(told)
