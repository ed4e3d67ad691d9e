"""A server for each GPU that infers, ours or the user's."""

from __future__ import annotations

from pathlib import Path

import pytest

from photofinish.client.cameras.decode.gpu.process import STAND_IN
from photofinish.client.cameras.supervise.gpus import CPU_ALONE, DecodePlan
from photofinish.errors import ConfigError
from photofinish.flows.camera.servers import named_servers, own_servers
from tests.builders import build_card

CPU, CUDA = build_card(device="cpu"), build_card(device="cuda")


def plan(*numbers: int, is_rehearsed: bool = False, decodes: bool = True) -> DecodePlan:
    devices = (STAND_IN,) * len(numbers) if is_rehearsed else tuple(map(str, numbers)) if decodes else ()
    return DecodePlan(devices=devices, sentence="", numbers=numbers)


@pytest.mark.parametrize(
    ("card", "decoding", "gpus"),
    [
        (CUDA, plan(0, 2), [0, 2]),
        (CUDA, plan(0, 2, decodes=False), [0, 2]),
        (CUDA, plan(1), [1]),
        (CUDA, CPU_ALONE, [None]),
        (CPU, plan(0, 2), [None]),
        (CPU, plan(0, 2, is_rehearsed=True), [None, None]),
        (None, plan(0, 2), [0, 2]),
    ],
)
def test_each_gpu_that_infers_has_a_server_that_sees_it_alone(
    card: object, decoding: DecodePlan, gpus: list[int | None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    servers = own_servers(tmp_path, "toy", card, decoding, print)  # type: ignore[arg-type]
    assert [server.gpu for server in servers] == gpus
    assert len({server.log_path for server in servers}) == len(servers)


def test_a_model_that_names_other_gpus_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "toy").mkdir()
    config = tmp_path / "toy" / "config.pbtxt"
    config.write_text('name: "toy"\ninstance_group {\n  count: 1\n  kind: KIND_GPU\n  gpus: [0, 1]\n}\n')
    with pytest.raises(ConfigError, match=r"toy names GPU 1 .*export it again without --gpus"):
        own_servers(tmp_path, "toy", CUDA, plan(0, 1), print)
    assert own_servers(tmp_path, "toy", CUDA, CPU_ALONE, print)
    config.write_text("instance_group {\n  gpus: [0]\n}\n")
    assert len(own_servers(tmp_path, "toy", CUDA, plan(0, 1), print)) == 2


def test_named_servers_are_one_for_all_or_one_for_each_gpu() -> None:
    told: list[str] = []
    (one,) = named_servers(["a:1"], [], plan(1), told.append)
    assert (one.grpc_url, one.http_url, one.gpu) == ("a:1", "", 1)
    both = named_servers(["a:1", "b:1"], ["a:2", "b:2"], plan(0, 2), told.append)
    assert [(at.grpc_url, at.http_url, at.gpu) for at in both] == [("a:1", "a:2", 0), ("b:1", "b:2", 2)]
    assert named_servers([], [], plan(0, 2), told.append) == []
    assert named_servers(["a:1"], [], CPU_ALONE, told.append)[0].gpu is None
    assert not told
    (shared,) = named_servers(["a:1"], [], plan(0, 2), told.append)
    assert shared.gpu is None
    assert "name a server for each GPU, --url HOST:PORT again" in told[0]


@pytest.mark.parametrize(
    ("urls", "http_urls", "words"),
    [
        (["a:1", "b:1"], [], "--url names 2 servers and --gpus 3 GPUs"),
        (["a:1"], ["a:2", "b:2"], "--http-url is given 2 times and --url 1 times"),
    ],
)
def test_servers_that_do_not_fit_are_refused(urls: list[str], http_urls: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        named_servers(urls, http_urls, plan(0, 1, 2), print)


def test_two_servers_without_a_gpu_are_refused_with_what_to_do() -> None:
    with pytest.raises(ConfigError, match="no NVIDIA GPU here; name one for all cameras"):
        named_servers(["a:1", "b:1"], [], CPU_ALONE, print)
