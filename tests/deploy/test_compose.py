"""docker-compose.yml and what it mounts, without a Docker engine: parsed, and held to its promises."""

from __future__ import annotations

import copy
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import compose_spec
import pytest
import yaml

from photofinish.address.credentials import PASSWORD_VARIABLE, USER_VARIABLE
from photofinish.client.cameras.endpoint.board import CellBoard
from photofinish.client.cameras.endpoint.metrics import registry_of_cell
from photofinish.client.cameras.list.reading import cameras_from_file
from tests.client.cameras.endpoint.statuses import camera_status, cell_status, inferred
from tests.deploy.compose import CHECKOUT, COMPOSE_PATH, compose_document, compose_variables

OWN_SERVICES = ("export", "triton", "ui", "cameras")


def refusal_of(document: dict[str, Any]) -> str:
    """What a parser of the Compose specification says against the document; "" when it takes it."""
    try:
        compose_spec.PyCompose.from_json(json.dumps(document))
    except ValueError as exc:
        return str(exc)
    return ""


@pytest.mark.parametrize("override", ["", "compose.cpu.yml", "compose.two-gpus.yml"])
def test_compose_file_follows_the_specification(override: str) -> None:
    assert refusal_of(compose_document(override=override)) == ""


@pytest.mark.parametrize(
    ("key", "value"),
    [("portz", []), ("ports", ["not an address:1:2"]), ("depends_on", {"triton": {"condition": "up"}})],
)
def test_the_parser_refuses_what_is_wrong(key: str, value: object) -> None:
    document = copy.deepcopy(compose_document())
    document["services"]["ui"][key] = value
    assert refusal_of(document)


def test_every_variable_has_a_default_that_env_example_repeats() -> None:
    text = COMPOSE_PATH.read_text(encoding="utf-8")
    code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    assert code.count("${") == len(re.findall(r"\$\{[A-Z_]+:-[^}]*\}", code))
    lines = (CHECKOUT / ".env.example").read_text(encoding="utf-8").splitlines()
    example = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    assert example == compose_variables()


def test_ports_stay_on_this_machine_unless_asked() -> None:
    for name, service in compose_document()["services"].items():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), f"{name} publishes {port}"
    widened = compose_document({"BIND_ADDRESS": "192.0.2.7", "UI_PORT": "8080"})
    assert widened["services"]["ui"]["ports"] == ["192.0.2.7:8080:7860"]


@pytest.mark.parametrize("name", OWN_SERVICES)
def test_containers_are_locked_down(name: str) -> None:
    service = compose_document()["services"][name]
    assert service["user"] == "1000:1000"  # one user: shared memory is readable by its owner alone
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.get("privileged")


@pytest.mark.parametrize("override", ["", "compose.two-gpus.yml"])
def test_no_container_fills_the_disk_with_what_it_says(override: str) -> None:
    for name, service in compose_document(override=override)["services"].items():
        assert service["logging"]["options"] == {"max-size": "20m", "max-file": "5"}, name


def test_triton_waits_for_the_export_and_reads_its_repository() -> None:
    services = compose_document()["services"]
    assert services["triton"]["depends_on"] == {"export": {"condition": "service_completed_successfully"}}
    assert "models:/models" in services["export"]["volumes"]
    assert "models:/models:ro" in services["triton"]["volumes"]
    assert services["ui"]["depends_on"] == {"triton": {"condition": "service_healthy", "restart": True}}


def test_shared_memory_reaches_from_the_clients_to_triton() -> None:
    services = compose_document()["services"]
    assert services["triton"]["ipc"] == "shareable"
    assert services["ui"]["ipc"] == services["cameras"]["ipc"] == "service:triton"
    assert "shm_size" in services["triton"]


def test_gpu_is_reserved_where_it_is_used() -> None:
    services = compose_document({"GPU_ID": "1"})["services"]
    for name in ("export", "triton", "cameras"):
        (device,) = services[name]["deploy"]["resources"]["reservations"]["devices"]
        assert device == {"driver": "nvidia", "device_ids": ["1"], "capabilities": ["gpu"]}


def test_cameras_may_use_the_decoder_and_cudas_memory() -> None:
    service = compose_document()["services"]["cameras"]
    assert set(service["environment"]["NVIDIA_DRIVER_CAPABILITIES"].split(",")) == {"compute", "utility", "video"}
    assert service["ulimits"] == compose_document()["services"]["triton"]["ulimits"], "pages are locked for the GPU"
    assert service["init"] is True, "process 1 of one container cannot open the memory of process 1 of another"
    assert "--gpus" not in " ".join(service["command"]), "the one GPU that a container sees is its first"
    dockerfile = (CHECKOUT / "server" / "container" / "Dockerfile").read_text(encoding="utf-8")
    (extras,) = re.findall(r'--editable "\.\[([\w,]+)\]"', dockerfile.partition(" AS client\n")[2])
    assert {"client", "perf", "nvdec", "mqtt", "tracks"} == set(extras.split(","))


def test_without_a_gpu_nothing_is_reserved_and_the_rest_stays() -> None:
    usual, on_cpu = (compose_document(override=name)["services"] for name in ("", "compose.cpu.yml"))
    assert not any("deploy" in service for service in on_cpu.values())
    for name, service in usual.items():
        assert on_cpu[name] == {key: value for key, value in service.items() if key != "deploy"}


def test_two_gpus_have_a_server_each_and_the_cameras_name_both_in_order() -> None:
    services = compose_document({"GPU_ID": "2", "SECOND_GPU_ID": "5"}, "compose.two-gpus.yml")["services"]

    def gpus_of(name: str) -> list[str]:
        (device,) = services[name]["deploy"]["resources"]["reservations"]["devices"]
        return device["device_ids"]  # type: ignore[no-any-return]

    assert [gpus_of(name) for name in ("triton", "triton-2", "cameras")] == [["2"], ["5"], ["2", "5"]]
    words = services["cameras"]["command"]
    assert [word for word in words if word.startswith(("--url", "--gpus"))] == [
        "--url=triton:8001",
        "--url=triton-2:8001",
        "--gpus=0,1",
    ]
    before = compose_document()["services"]
    assert set(before["cameras"]["command"]) <= set(words), "it does what it does on one GPU"
    healthy = {"condition": "service_healthy", "restart": True}
    assert services["cameras"]["depends_on"] == {"triton": healthy, "triton-2": healthy}
    first, second = services["triton"], services["triton-2"]
    for key in ("user", "cap_drop", "security_opt", "image", "command", "ulimits", "volumes", "healthcheck", "restart"):
        assert second[key] == first[key], key
    assert second["ipc"] == "service:triton"
    assert "ports" not in second


def test_export_is_built_on_the_image_that_serves() -> None:
    services = compose_document({"TRITON_TAG": "26.10-py3"})["services"]
    assert services["export"]["build"]["args"] == {"TRITON_TAG": "26.10-py3"}
    assert services["triton"]["image"].endswith("tritonserver:26.10-py3")


def test_camera_and_source_come_from_the_environment() -> None:
    settings = {"CAMERA_DEVICE": "/dev/video2", "SOURCE": "rtsp://camera/stream"}
    service = compose_document(settings)["services"]["ui"]
    assert service["devices"] == ["/dev/video2:/dev/video0"]
    assert "--source=rtsp://camera/stream" in service["command"]


def test_cameras_start_only_when_they_are_asked_for() -> None:
    services = compose_document()["services"]
    assert {name for name, service in services.items() if service.get("profiles")} == {"cameras"}
    assert services["cameras"]["profiles"] == ["cameras"]
    assert not any("cameras" in service.get("depends_on", {}) for service in services.values())


def test_cameras_run_beside_the_split_view() -> None:
    services = compose_document({"CAMERAS_DIR": "/srv/cameras", "CAMERAS_PASSWORD": "x"})["services"]
    cameras, ui = services["cameras"], services["ui"]
    for key in ("build", "depends_on", "restart", "user"):
        assert cameras[key] == ui[key], key
    assert cameras["volumes"] == ["/srv/cameras:/cameras:ro"]
    assert cameras["env_file"] == [{"path": "/srv/cameras/cameras.env", "required": False}]
    assert cameras["environment"][PASSWORD_VARIABLE] == "x"
    assert set(cameras["environment"]) == {USER_VARIABLE, PASSWORD_VARIABLE, "NVIDIA_DRIVER_CAPABILITIES"}
    assert cameras["ports"] == ["127.0.0.1:7861:7860", "127.0.0.1:7870:7870"]
    published = [port for service in services.values() for port in service.get("ports", [])]
    assert len({port.rpartition(":")[0] for port in published}) == len(published)


def test_the_health_of_cameras_is_their_own_and_not_the_servers() -> None:
    """A cell that is started again does not bring a server back, and all cameras would lose their connections."""
    check = " ".join(compose_document()["services"]["cameras"]["healthcheck"]["test"])
    assert "127.0.0.1:7870/healthz" in check


def test_the_example_list_of_cameras_is_one() -> None:
    found = cameras_from_file(CHECKOUT / "deploy" / "cameras.toml", {})
    assert not found.problems
    assert [camera.name for camera in found.cameras] == ["gate", "yard"]


def test_every_mounted_and_copied_file_exists() -> None:
    for service in compose_document()["services"].values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("./") and source not in ("./data", "./cameras"):
                assert (CHECKOUT / source).exists(), f"{volume} mounts what is not there"
    sent = {
        line[1:]
        for line in (CHECKOUT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line.startswith("!")
    }
    dockerfile = (CHECKOUT / "server" / "container" / "Dockerfile").read_text(encoding="utf-8")
    for line in dockerfile.splitlines():
        if line.startswith("COPY ") and "--from" not in line:
            for source in line.split()[1:-1]:
                assert (CHECKOUT / source).exists(), f"the Dockerfile copies {source}, which is not there"
                assert source.split("/")[0] in sent, f".dockerignore keeps {source} from the build"


def test_the_images_hold_what_the_links_of_the_package_lead_to() -> None:
    """`photofinish/client -> ../client`: a stage without the folder would have a package without its room."""
    links = {path.readlink() for path in (CHECKOUT / "photofinish").iterdir() if path.is_symlink()}
    wanted = {str(target).removeprefix("../") for target in links}
    assert wanted == {"client", "export", "perf", "server", "variants.toml"}
    dockerfile = (CHECKOUT / "server" / "container" / "Dockerfile").read_text(encoding="utf-8")
    for stage in dockerfile.split("\nFROM ")[1:]:
        lines = [line for line in stage.splitlines() if line.startswith("COPY ") and "--from" not in line]
        assert wanted <= {source for line in lines for source in line.split()[1:-1]}


def test_dockerfile_has_the_stages_that_compose_builds() -> None:
    dockerfile = (CHECKOUT / "server" / "container" / "Dockerfile").read_text(encoding="utf-8")
    stages = set(re.findall(r"^FROM \S+ AS (\w+)$", dockerfile, flags=re.MULTILINE))
    targets = {service["build"]["target"] for service in compose_document()["services"].values() if "build" in service}
    assert targets == stages


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed: apt install prometheus")
def test_prometheus_config_is_valid_and_scrapes_services_of_the_file(tmp_path: Path) -> None:
    path = CHECKOUT / "deploy" / "prometheus.yml"
    check = subprocess.run(
        ["promtool", "check", "config", str(path)], capture_output=True, text=True, timeout=30, check=False
    )
    assert check.returncode == 0, check.stdout + check.stderr
    jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["scrape_configs"]
    targets = {target for job in jobs for entry in job["static_configs"] for target in entry["targets"]}
    assert targets == {"triton:8002", "ui:9108", "cameras:7870"}
    assert "--metrics-port=9108" in compose_document()["services"]["ui"]["command"]
    assert {"--status-host=0.0.0.0", "--status-port=7870"} <= set(compose_document()["services"]["cameras"]["command"])


def queries_of(dashboard: str) -> list[str]:
    path = CHECKOUT / "deploy" / "grafana" / "dashboards" / f"{dashboard}.json"
    panels = json.loads(path.read_text(encoding="utf-8"))["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


def test_the_cameras_dashboard_asks_for_what_a_cell_tells() -> None:
    board = CellBoard()
    board.on_status(cell_status(camera_status()))
    board.on_inferred(inferred())
    families = list(registry_of_cell(board).collect())
    told = {sample.name for family in families for sample in family.samples}
    labels = {label for family in families for sample in family.samples for label in sample.labels}
    for query in queries_of("cameras"):
        asked = re.findall(r"photofinish_\w+", query)
        assert asked
        assert set(asked) <= told, query
        assert {word for group in re.findall(r"by \(([^)]*)\)", query) for word in group.split(", ")} <= labels, query


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed: apt install prometheus")
@pytest.mark.parametrize("name", ["photofinish", "cameras"])
def test_dashboard_queries_are_valid(tmp_path: Path, name: str) -> None:
    queries = queries_of(name)
    assert queries
    rules = {"groups": [{"name": "g", "rules": [{"record": f"q{i}", "expr": q} for i, q in enumerate(queries)]}]}
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(rules), encoding="utf-8")
    check = subprocess.run(
        ["promtool", "check", "rules", str(tmp_path / "rules.yml")],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert check.returncode == 0, check.stdout + check.stderr
