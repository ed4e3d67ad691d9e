from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from photofinish.errors import ConfigError
from photofinish.variant import default_variants_path, input_wh_from_aspect, select_variants, variants_from_toml

MINIMAL = """
schema_version = 1
[defaults]
role = "optimised"
servers = ["embedded"]
devices = ["cpu"]
max_batch_size = 4
batch_buckets = [1, 4]
instance_count = 1
max_queue_delay_us = 0
min_map_share = 0.99
cuda_graphs = false
tf32 = false
[variant.torch_fp32_tensor]
role = "baseline"
backend = "pytorch"
precision = "fp32"
contract = "tensor"
recipe = "torchscript_tensor"
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "variants.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_projects_own_file_is_valid() -> None:
    variants = variants_from_toml(default_variants_path(), model="yolo26n")
    names = [variant.name for variant in variants]
    assert "yolo26n_torch_fp32_tensor" in names
    assert "yolo26n_onnx_fp16" in names
    assert len(set(names)) == len(names)


def test_defaults_fill_a_table(tmp_path: Path) -> None:
    (variant,) = variants_from_toml(written(tmp_path, MINIMAL), model="toy")
    assert variant.name == "toy_torch_fp32_tensor"
    assert variant.batch_buckets == (1, 4)
    assert variant.artifact_name == "model.pt"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("schema_version = 1", "schema_version = 7", "schema_version must be 1, got 7"),
        ('backend = "pytorch"', 'backend = "caffe"', "backend must be of"),
        ('backend = "pytorch"', "", r"lacks \['backend'\]"),
        ("cuda_graphs = false", 'cuda_graphs = "no"', "cuda_graphs must be bool, got 'no'"),
        ("batch_buckets = [1, 4]", "batch_buckets = [4, 1]", "batch_buckets must ascend"),
        ("batch_buckets = [1, 4]", "batch_buckets = [1, 8]", "must end at max_batch_size 4"),
        ("batch_buckets = [1, 4]", 'batch_buckets = "all"', "batch_buckets must be a list"),
        ("min_map_share = 0.99", "min_map_share = 99", "min_map_share within 0..1"),
        ('role = "baseline"', "", "exactly one variant must have role"),
        ("tf32 = false", "tf32 = false\nturbo = true", r"unknown keys \['turbo'\]"),
        ("[defaults]", "[defaults", "cannot be read"),
        ("tf32 = false", 'tf32 = false\naspect = "wide"', "aspect must be like 16:9, got 'wide'"),
        ('role = "baseline"', 'role = "baseline"\nlike = "other"', r"like must be one of \[\], got 'other'"),
    ],
)
def test_a_wrong_file_is_named_with_its_key(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        variants_from_toml(written(tmp_path, MINIMAL.replace(old, new)), model="toy")


@pytest.mark.parametrize(
    ("size", "aspect", "expected"),
    [
        (640, "1:1", (640, 640)),
        (640, "16:9", (640, 384)),
        (640, "9:16", (384, 640)),
        (640, "4:3", (640, 480)),
        (320, "16:9", (320, 192)),
        (64, "16:9", (64, 64)),
        (1280, "16:9", (1280, 736)),
    ],
)
def test_the_input_has_the_aspect_in_whole_strides(size: int, aspect: str, expected: tuple[int, int]) -> None:
    assert input_wh_from_aspect(size, aspect, stride=32) == expected


def test_a_variant_like_another_takes_its_keys() -> None:
    known = {item.suffix: item for item in variants_from_toml(default_variants_path(), model="m")}
    square, rect = known["openvino_int8"], known["openvino_int8_rect"]
    assert replace(rect, suffix=square.suffix, aspect=square.aspect, sources=square.sources) == square
    assert (square.aspect, rect.aspect) == ("1:1", "16:9")


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="pass --variants FILE"):
        variants_from_toml(tmp_path / "none.toml", model="toy")


def test_a_model_name_that_triton_would_misread_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="model name must be"):
        variants_from_toml(written(tmp_path, MINIMAL), model="../etc")


def test_variants_are_selected_by_name_or_suffix() -> None:
    variants = variants_from_toml(default_variants_path(), model="toy")
    chosen = select_variants(variants, ("toy_onnx_fp32", "torch_fp32_tensor"))
    assert [variant.suffix for variant in chosen] == ["torch_fp32_tensor", "onnx_fp32"]
    assert select_variants(variants, ()) == variants
    with pytest.raises(ConfigError, match="unknown variant onnx_fp64"):
        select_variants(variants, ("onnx_fp64",))
