"""config.pbtxt of engines, read back by Triton's own protobuf."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from photofinish.engine_record import compute_capability
from photofinish.export.publishing.config import config_from_variant, io_from_variant
from tests.builders import build_card
from tests.export.tensorrt.variants import engine_variant

ENGINES = {
    "sm120": {"file": "model.plan", "library": "tensorrt_rtx", "library_version": "1.7.1.116"},
    "sm89": {"file": "model_sm89.plan", "library": "tensorrt_rtx", "library_version": "1.7.1.116"},
}


def parsed_config(engines: dict[str, Any], **changes: object) -> Any:
    variant = engine_variant(**changes)  # type: ignore[arg-type]
    card = build_card(
        variant=variant.name, backend="tensorrt", precision="fp16", device="cuda", cuda_graphs=True, engines=engines
    )
    io = io_from_variant(variant, input_wh=(640, 480), raw_dims=(300, 6), task="detect")
    return text_format.Parse(config_from_variant(variant, card, io), model_config_pb2.ModelConfig())


def test_types_and_batching_are_explicit() -> None:
    config = parsed_config({"sm120": ENGINES["sm120"]})
    assert (config.backend, config.max_batch_size) == ("tensorrt", 32)
    assert (config.input[0].name, list(config.input[0].dims)) == ("frames", [480, 640, 3])
    assert config.input[0].data_type == model_config_pb2.TYPE_UINT8
    assert (config.output[0].name, list(config.output[0].dims)) == ("detections", [300, 6])
    assert config.output[0].data_type == model_config_pb2.TYPE_FP32
    assert config.HasField("dynamic_batching")
    assert config.instance_group[0].kind == model_config_pb2.ModelInstanceGroup.KIND_GPU
    assert [item.batch_size for item in config.model_warmup] == [1, 2, 4, 8, 16, 32]


def test_every_batch_size_has_a_cuda_graph() -> None:
    cuda = parsed_config({}).optimization.cuda
    assert cuda.graphs
    covered = []
    for spec in cuda.graph_spec:
        assert [int(side) for side in spec.input["frames"].dim] == [480, 640, 3]
        covered += range(spec.graph_lower_bound.batch_size, spec.batch_size + 1)
    assert [spec.batch_size for spec in cuda.graph_spec] == [1, 2, 4, 8, 16, 32]
    assert covered == list(range(1, 33))


def test_without_cuda_graphs_none_is_asked_for() -> None:
    assert not parsed_config({}, cuda_graphs=False).optimization.cuda.graphs


def test_engines_of_several_gpus_lie_side_by_side() -> None:
    assert dict(parsed_config(ENGINES).cc_model_filenames) == {"12.0": "model.plan", "8.9": "model_sm89.plan"}
    assert not parsed_config({"sm120": ENGINES["sm120"]}).cc_model_filenames


@pytest.mark.parametrize(("target", "name"), [("sm120", "12.0"), ("sm89", "8.9"), ("sm75", "7.5"), ("sm100", "10.0")])
def test_compute_capability(target: str, name: str) -> None:
    assert compute_capability(target) == name
