"""docker-compose.yml: every service, with replicas, limits, users, one store and no way out but the downloader's."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from services import SERVICES

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
USERS = ROOT / "deploy" / "redis" / "compose.yml"
VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")


def variables(path: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in path.read_text().splitlines() if line and not line.startswith("#"))


def compose(path: Path = COMPOSE, **environment: str) -> dict[str, Any]:
    """The file as Compose reads it. Raises KeyError for a variable that must be set."""

    def value(match: re.Match[str]) -> str:
        name, kind, default = match.groups()
        if environment.get(name):
            return environment[name]
        if kind != "-":
            raise KeyError(name)
        return str(default)

    parsed: dict[str, Any] = yaml.safe_load(VARIABLE.sub(value, path.read_text()))
    return parsed


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = compose(COMPOSE, **variables(ROOT / ".env.example"))["services"]
    return found


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_built_from_the_one_dockerfile_with_replicas_and_limits(
    services: dict[str, Any], name: str
) -> None:
    service = services[name]
    assert service["build"]["dockerfile"] == "deploy/Dockerfile"
    assert service["build"]["args"]["SERVICE"] == name
    assert int(service["deploy"]["replicas"]) >= 1
    assert {"cpus", "memory"} <= set(service["deploy"]["resources"]["limits"])
    assert service["restart"] == "always"
    assert "ports" not in service


def test_nobody_has_a_way_out_but_the_downloader(services: dict[str, Any]) -> None:
    assert compose(COMPOSE, **variables(ROOT / ".env.example"))["networks"]["mesh"]["internal"]
    assert [name for name in SERVICES if "outside" in services[name]["networks"]] == ["downloader"]


def test_all_that_store_share_one_store(services: dict[str, Any]) -> None:
    found = {
        value
        for service in services.values()
        for key, value in service.get("environment", {}).items()
        if key.endswith("_STORE")
    }
    assert found == {"file:///data/store"}
    assert all(
        "store:/data" in services[name]["volumes"] for name in ("downloader", "tts", "tts-neural", "faces", "sender")
    )


def test_redis_keeps_what_it_is_told_and_throws_nothing_away(services: dict[str, Any]) -> None:
    command = " ".join(services["redis"]["command"])
    assert "--appendonly yes" in command
    assert "--maxmemory-policy noeviction" in command


def test_whoever_has_not_copied_the_environment_file_is_told() -> None:
    with pytest.raises(KeyError, match="COMPOSE_PROFILES"):
        compose()


def test_the_families_have_the_same_services() -> None:
    services = compose(COMPOSE, **variables(ROOT / ".env.example"))["services"]
    profiles = {name: service["profiles"] for name, service in services.items() if "profiles" in service}
    embedded = {name for name, found in profiles.items() if found == ["embedded"]}
    neural = {name for name, found in profiles.items() if found == ["neural"]} - {"weights"}
    assert embedded == {"asr", "segmenter", "speaker", "translator", "tts"}
    assert neural == {f"{name}-neural" for name in embedded}
    for name in neural:
        plain = name.removesuffix("-neural")
        service = services[name]
        assert service["build"]["args"] == {"SERVICE": plain, "FAMILY": "neural"}
        assert service["networks"] == ["mesh"]
        assert service["deploy"]["resources"]["reservations"]["devices"][0]["capabilities"] == ["gpu"]
        assert "models:/models:ro" in service["volumes"]
        assert service["depends_on"]["weights"]["condition"] == "service_completed_successfully"
        assert set(services[plain]["environment"]) <= set(service["environment"]) | {"TRANSLATOR_ENGINE"}
    assert "models:/models" in services["weights"]["volumes"]


@pytest.mark.parametrize("name", ["docker-compose.yml", "deploy/redis/compose.yml", "deploy/check.yml"])
def test_the_file_is_what_the_compose_specification_says(name: str) -> None:
    specification = pytest.importorskip("compose_spec", reason="compose-spec has no wheel for this machine")
    secrets = {match[0]: "x" for match in VARIABLE.findall(USERS.read_text()) if match[0].startswith("REDIS_PASSWORD")}
    found = compose(ROOT / name, **variables(ROOT / ".env.example"), **secrets)
    specification.PyCompose.from_yaml(yaml.safe_dump(found)).to_spec()
    next(iter(found["services"].values()))["restarts"] = "always"
    with pytest.raises((ValueError, TypeError)):
        specification.PyCompose.from_yaml(yaml.safe_dump(found)).to_spec()


def test_podman_starts_as_many_replicas_as_docker(services: dict[str, Any]) -> None:
    # podman-compose reads `replicas` only beside the mode, which Docker takes for granted.
    for service in services.values():
        assert ("replicas" in service["deploy"]) == (service["deploy"].get("mode") == "replicated")


def test_without_keys_only_this_machine_gets_in() -> None:
    example = compose(COMPOSE, **variables(ROOT / ".env.example"))["services"]
    assert example["door"]["ports"] == ["127.0.0.1:8080:80"]
    bare = compose(COMPOSE_PROFILES="embedded")["services"]
    assert bare["ingest"]["environment"]["INGEST_REQUIRE_KEY"]
    assert bare["sender"]["environment"]["SENDER_REQUIRE_LINK"]


def test_every_variable_of_the_environment_file_is_used() -> None:
    used = {match[0] for match in VARIABLE.findall(COMPOSE.read_text())} | {"COMPOSE_PROFILES"}
    assert set(variables(ROOT / ".env.example")) <= used


def test_every_file_that_is_mounted_exists(services: dict[str, Any]) -> None:
    for service in services.values():
        for mount in service.get("volumes", []):
            if mount.startswith("./"):
                assert (ROOT / mount.split(":")[0]).exists()


def test_with_users_every_service_has_its_own(services: dict[str, Any]) -> None:
    secrets = {
        match[0]: match[0].lower() for match in VARIABLE.findall(USERS.read_text()) if match[0] != "REDIS_MEMORY"
    }
    override = compose(USERS, **secrets, REDIS_MEMORY="1gb")["services"]
    for name in (*SERVICES, *(name for name in services if name.endswith("-neural"))):
        user = name.removesuffix("-neural")
        assert override[name]["environment"]["REDIS_URL"] == f"redis://{user}:redis_password_{user}@redis:6379/0"
    assert set(override) <= set(services)
    assert "--aclfile" in override["redis"]["command"]
    plain = [word for word in services["redis"]["command"] if word not in ("--protected-mode", "no")]
    assert override["redis"]["command"][: len(plain)] == plain


def test_the_door_leads_to_services_that_exist(services: dict[str, Any]) -> None:
    text = (ROOT / "deploy" / "nginx" / "nginx.conf").read_text()
    assert set(re.findall(r"set \$\w+ (\w+):8080;", text)) == {"ingest", "sender", "dashboard"} <= set(services)
    assert {"/v1/", "/hls/", "/watch/", "/web/", "/dashboard"} <= set(re.findall(r"location (/\w*/?) ", text))
    assert "metrics" not in text
