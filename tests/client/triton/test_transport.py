"""A transport is a value; its text is what command lines, records and reports have."""

from __future__ import annotations

import gzip
import json
import pickle
from pathlib import Path

import pytest
from click.testing import CliRunner

from photofinish.client.triton.transport import (
    CUDA_SHM_HTTP,
    GRPC,
    SYSTEM_SHM,
    SYSTEM_SHM_HTTP,
    TRANSPORT_CHOICES,
    TRANSPORTS,
    Transport,
    automatic_order,
    choice_from_text,
    transport_from_text,
)
from photofinish.commands.detect import detect
from photofinish.commands.perf import comparison
from photofinish.errors import ConfigError

RESULTS = Path(__file__).resolve().parents[3] / "results"


@pytest.mark.parametrize(("text", "transport"), TRANSPORTS.items())
def test_text_and_value_are_each_others(text: str, transport: Transport) -> None:
    assert str(transport) == f"{transport}" == text
    assert transport_from_text(text) is choice_from_text(text) is transport
    assert pickle.loads(pickle.dumps(transport)) == transport
    assert (transport.call == "http") == text.endswith("_http")
    assert (transport.memory == "inline") == (text == "grpc")


def test_automatic_is_a_choice_and_no_transport() -> None:
    assert choice_from_text("auto") == "auto"
    with pytest.raises(ConfigError, match=r"must be of grpc, .* got 'auto'"):
        transport_from_text("auto")


@pytest.mark.parametrize("text", ["pigeon", "", "grpc_http", "shm"])
def test_another_word_gets_the_list(text: str) -> None:
    with pytest.raises(ConfigError, match="must be of auto, grpc, system_shm, "):
        choice_from_text(text)
    with pytest.raises(ConfigError, match="must be of grpc, system_shm, "):
        transport_from_text(text)


def test_pictures_inside_requests_go_over_grpc_alone() -> None:
    with pytest.raises(ValueError, match="over gRPC alone"):
        Transport(memory="inline", call="http")


def test_batches_for_a_gpu_try_its_own_memory_first() -> None:
    assert automatic_order("cuda", 8)[0] == CUDA_SHM_HTTP
    assert automatic_order("cuda", 1) == automatic_order("cpu", 8) == (SYSTEM_SHM_HTTP, SYSTEM_SHM, GRPC)


@pytest.mark.parametrize("command", [detect, comparison])
def test_the_commands_offer_every_transport(command: object) -> None:
    (option,) = (item for item in command.params if item.name == "transport")  # type: ignore[attr-defined]
    assert tuple(option.type.choices) == TRANSPORT_CHOICES
    assert [option.callback(None, option, word) for word in TRANSPORT_CHOICES] == ["auto", *TRANSPORTS.values()]
    assert CliRunner().invoke(command, ["x", "--transport", "pigeon"]).exit_code == 2  # type: ignore[arg-type]


def test_every_committed_record_has_transports_that_are_known() -> None:
    records = [json.loads(gzip.decompress(path.read_bytes())) for path in RESULTS.glob("*.json.gz")]
    arms = [arm for record in records for section in record["sections"] for arm in section["arms"]]
    texts = {arm["transport"] for arm in arms if arm["transport"]}
    assert {"grpc", "system_shm_http"} <= texts
    for text in texts:
        assert str(transport_from_text(text)) == text
