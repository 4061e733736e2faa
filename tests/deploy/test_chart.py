"""The chart as Helm renders it: valid for every Kubernetes that it is for, and what each service may reach."""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from deploy import acl
from services import MESH, SERVICES
from shared.bus.address import address, master, sentinels

helm = pytest.importorskip("helm_python", reason="helm-python-sdk has no wheel for this machine")
kubernetes = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate, which has the schemas, is missing")
jsonschema = pytest.importorskip("jsonschema", reason="comes with kubernetes-validate")
referencing = pytest.importorskip("referencing", reason="comes with kubernetes-validate")

CHART = Path(__file__).parents[2] / "deploy" / "helm" / "dragoman"
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
NEURAL: dict[str, Any] = yaml.safe_load((CHART / "values-neural.yaml").read_text())
CLUSTER = {"redis": {"mode": "cluster", "hosts": ["a:6379", "b:6379"], "shards": 4}}
SENTINEL = {
    "redis": {"mode": "sentinel", "hosts": ["a:26379", "b:26379"], "ports": [6379, 26379], "master": "dragoman"}
}
FACES = {"services": {"faces": {"enabled": True}}}
OPEN = {"ingress": {"dashboard": True}, "links": {"require": False, "secret": ""}, "keda": {"enabled": False}}
CASES: Mapping[str, Any] = {
    "as it is": {},
    "neural": NEURAL,
    "cluster": CLUSTER,
    "sentinel": SENTINEL,
    "faces": FACES,
    "open": OPEN,
}
SCHEMAS = Path(kubernetes.__file__).parent / "kubernetes-json-schema"
OLDEST, NEWEST = "1.27", "1.37"


@cache
def rendered(case: str) -> tuple[dict[str, Any], ...]:
    with helm.Chart.load(CHART) as chart:
        files: dict[str, str] = chart.render(values=CASES[case], name="demo")
    manifests = [text for name, text in files.items() if name.endswith(".yaml")]
    return tuple(found for text in manifests for found in yaml.safe_load_all(text) if found)


def kinds(case: str, kind: str) -> dict[str, Any]:
    """Name without the release's to object, of one kind."""
    return {found["metadata"]["name"].removeprefix("demo-"): found for found in rendered(case) if found["kind"] == kind}


def containers(case: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, deployment in kinds(case, "Deployment").items():
        yield name, deployment["spec"]["template"]["spec"]["containers"][0]


def environment(case: str, service: str) -> dict[str, str]:
    container = dict(containers(case))[service]
    return {each["name"]: each.get("value", "") for each in container["env"]}


def test_helm_finds_nothing_to_mend() -> None:
    found = helm.lint(str(CHART))
    assert found["errors"] == []
    assert [each for each in found["messages"] if each["severity"] > 1] == []


@cache
def definitions(version: str) -> Any:
    found = json.loads((SCHEMAS / f"v{version}.0-local-strict" / "_definitions.json").read_text())
    return (referencing.Resource.from_contents(found) @ referencing.Registry()).crawl()


@cache
def schema(kind: str, group: str, version: str) -> Any:
    """What an object of this kind may be, unknown fields refused; FileNotFoundError where there is none."""
    name = "-".join([kind.lower(), *re.sub(r"\.[^/]*", "", group).split("/")])
    found = json.loads((SCHEMAS / f"v{version}.0-local-strict" / f"{name}.json").read_text())
    return jsonschema.Draft202012Validator(found, registry=definitions(version))


def faults(found: Mapping[str, Any], version: str) -> list[str]:
    validator = schema(found["kind"], found["apiVersion"], version)
    return [f"{found['kind']} {error.json_path}: {error.message}" for error in validator.iter_errors(found)]


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("case", CASES)
def test_every_object_fits_the_schema_of_kubernetes(case: str, version: str) -> None:
    for found in rendered(case):
        if not found["apiVersion"].startswith("keda"):
            assert faults(found, version) == []


def test_a_field_that_kubernetes_does_not_know_is_found() -> None:
    (fault,) = faults({**kinds("as it is", "Service")["asr"], "spek": {}}, NEWEST)
    assert "spek" in fault


def test_the_chart_has_every_service_and_scales_it_by_its_own_stages() -> None:
    assert set(VALUES["services"]) == set(SERVICES)
    for name, service in VALUES["services"].items():
        taking = [stage for stage in acl.stages(name) if MESH.steps[stage].consumes]
        assert service["stages"] == taking
        assert bool(service["slots"]) == bool(taking)
        assert 1 <= service["replicas"]["min"] <= service["replicas"]["max"]


def test_optional_services_run_only_where_they_are_wanted() -> None:
    for kind in ("Deployment", "Service", "PodDisruptionBudget", "NetworkPolicy"):
        assert set(SERVICES) - set(kinds("as it is", kind)) == {"faces"}
        assert set(kinds("faces", kind)) == set(SERVICES)


def test_the_redis_url_of_a_service_is_one_that_it_understands() -> None:
    assert environment("as it is", "asr")["REDIS_URL"] == "rediss://asr:$(REDIS_PASSWORD)@redis.example.svc:6379/0"
    assert address(environment("cluster", "asr")["REDIS_URL"]) == ("cluster", "rediss://asr:$(REDIS_PASSWORD)@a:6379/")
    kind, plain = address(environment("sentinel", "asr")["REDIS_URL"])
    assert (kind, sentinels(plain), master(plain)) == ("sentinel", [("a", 26379), ("b", 26379)], "dragoman")


@pytest.mark.parametrize("case", CASES)
def test_every_service_gets_the_password_that_the_acl_script_writes(case: str) -> None:
    written = {f"REDIS_PASSWORD_{name.upper()}" for name in acl.draw()}
    for _, container in containers(case):
        (source,) = [each["valueFrom"]["secretKeyRef"] for each in container["env"] if each["name"] == "REDIS_PASSWORD"]
        assert source["name"] == "dragoman-redis"
        assert source["key"] in written


@pytest.mark.parametrize("case", CASES)
def test_no_container_is_root_or_may_become_more_than_it_is(case: str) -> None:
    for name, deployment in kinds(case, "Deployment").items():
        pod = deployment["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"], name
        for container in pod["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"]
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert "memory" in container["resources"]["limits"]


def reach(case: str) -> dict[str, list[str]]:
    """Policy to the blocks of addresses that it lets out to."""
    return {
        name: [
            target["ipBlock"]["cidr"]
            for rule in policy["spec"]["egress"]
            for target in rule.get("to", [{"ipBlock": {"cidr": "anywhere"}}])
            if "ipBlock" in target
        ]
        for name, policy in kinds(case, "NetworkPolicy").items()
    }


def test_only_the_downloader_reaches_the_outside_and_those_that_store_reach_the_store() -> None:
    found = reach("faces")
    assert [name for name in found if "0.0.0.0/0" in found[name]] == ["downloader"]
    storing = ["downloader", "faces", "ingest", "sender", "translator", "tts"]
    assert [name for name in found if "10.0.0.0/8" in found[name]] == storing
    assert not any("anywhere" in blocks for blocks in found.values())


def test_even_the_downloader_reaches_no_inner_address() -> None:
    rules = kinds("as it is", "NetworkPolicy")["downloader"]["spec"]["egress"]
    (outside,) = [rule["to"][0]["ipBlock"] for rule in rules if "except" in str(rule)]
    assert {"10.0.0.0/8", "192.168.0.0/16", "169.254.0.0/16"} <= set(outside["except"])


def test_only_doors_are_let_in_to_by_the_ingress() -> None:
    policies = kinds("as it is", "NetworkPolicy")
    let_in = {name for name, policy in policies.items() if "ingress-nginx" in str(policy["spec"]["ingress"])}
    assert let_in == {"ingest", "sender", "dashboard"}
    ingress = kinds("as it is", "Ingress")["demo"]["spec"]["rules"][0]["http"]["paths"]
    assert {path["path"] for path in ingress} == {"/v1", "/hls", "/watch", "/web"}
    opened = kinds("open", "Ingress")["demo"]["spec"]["rules"][0]["http"]["paths"]
    assert "/dashboard" in {path["path"] for path in opened}


FIELDS = {"scaleTargetRef", "minReplicaCount", "maxReplicaCount", "pollingInterval", "cooldownPeriod"} | {
    "advanced",
    "triggers",
}


@pytest.mark.parametrize(
    ("case", "kind", "at"),
    [
        ("as it is", "redis-streams", "address"),
        ("sentinel", "redis-sentinel-streams", "addresses"),
        ("cluster", "redis-cluster-streams", "addresses"),
    ],
)
def test_stages_are_scaled_by_how_busy_they_are_how_late_and_how_much_waits(case: str, kind: str, at: str) -> None:
    found = kinds(case, "ScaledObject")
    assert set(found) == {"downloader", "asr", "segmenter", "speaker", "translator", "tts", "sender"}
    shards = CASES[case].get("redis", {}).get("shards", 1)
    for name, scaled in found.items():
        stages = acl.stages(name)
        assert set(scaled["spec"]) == FIELDS
        assert scaled["spec"]["scaleTargetRef"]["name"] in {f"demo-{name}" for name in kinds(case, "Deployment")}
        triggers = scaled["spec"]["triggers"]
        queues = [trigger for trigger in triggers if trigger["type"] == kind]
        assert {each["metadata"]["stream"] for each in queues} == {
            f"{{p{shard}}}:rdy:{stage}" for shard in range(shards) for stage in stages
        }
        assert all(each["metadata"][at] and each["authenticationRef"]["name"] == "demo-redis" for each in queues)
        asked = [trigger["metadata"]["query"] for trigger in triggers if trigger["type"] == "prometheus"]
        assert len(asked) == (0 if name == "downloader" else 2 * len(stages))
        # Every value of a trigger's metadata is text.
        assert all(isinstance(value, str) for trigger in triggers for value in trigger["metadata"].values())


def test_who_scales_by_itself_has_no_fixed_number_of_replicas() -> None:
    for name, deployment in kinds("as it is", "Deployment").items():
        assert ("replicas" in deployment["spec"]) == (name in ("ingest", "dashboard"))
    assert all("replicas" in found["spec"] for found in kinds("open", "Deployment").values())


def test_neural_services_get_a_gpu_its_nodes_and_the_weights() -> None:
    deployments = kinds("neural", "Deployment")
    for name in ("asr", "segmenter", "speaker", "translator", "tts"):
        pod = deployments[name]["spec"]["template"]["spec"]
        assert pod["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
        assert pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1
        assert pod["containers"][0]["image"].startswith(f"registry.example.com/dragoman-{name}-neural:")
        assert {"name": "models", "mountPath": "/models", "readOnly": True} in pod["containers"][0]["volumeMounts"]
    assert "nodeSelector" not in deployments["sender"]["spec"]["template"]["spec"]
    assert list(kinds("neural", "Job")) == ["weights-1"]
    assert list(kinds("as it is", "Job")) == []


def test_links_are_signed_where_they_are_required() -> None:
    for name in ("ingest", "sender"):
        assert environment("as it is", name)["SENDER_REQUIRE_LINK"] == "true"
        assert "PLAYBACK_SECRET" in environment("as it is", name)
        assert "PLAYBACK_SECRET" not in environment("open", name)
    assert "PLAYBACK_SECRET" not in environment("as it is", "asr")


@pytest.mark.parametrize(
    "wrong",
    [
        {"redis": {"mode": "clustered"}},
        {"redis": {"hosts": ["redis://a:6379"]}},
        {"redis": {"host": "a"}},
        {"store": {"url": "file:///data"}},
        {"grace": 5},
        {"services": {"asr": {"replica": 2}}},
    ],
)
def test_values_that_make_no_sense_are_refused_before_anything_is_installed(wrong: dict[str, Any]) -> None:
    with helm.Chart.load(CHART) as chart:
        chart.validate_schema(chart.merge_values({}))
        with pytest.raises(helm.HelmError):
            chart.validate_schema(chart.merge_values(wrong))


def test_pods_get_longer_to_stop_than_their_turns() -> None:
    assert VALUES["grace"] > 10
