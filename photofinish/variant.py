"""Variants: the deployable choices that variants.toml defines."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from photofinish.errors import ConfigError, said_of_file
from photofinish.names import all_chosen_by_name, chosen_by_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Backend = Literal["pytorch", "onnxruntime", "openvino", "tensorrt"]
Precision = Literal["fp32", "fp16", "bf16", "int8", "fp8"]
Contract = Literal["tensor", "frames"]
Role = Literal["baseline", "optimised"]
ServerKind = Literal["embedded", "container"]
Device = Literal["cpu", "cuda"]
WeightsKind = Literal["torch", "onnx"]
Accelerator = Literal["none", "tensorrt"]

ARTIFACT_NAMES: Mapping[str, str] = {
    "pytorch": "model.pt",
    "onnxruntime": "model.onnx",
    "openvino": "model.onnx",
    "tensorrt": "model.plan",
}
"""The file each backend loads from `<variant>/<version>/`."""

_CHOICES: Mapping[str, tuple[str, ...]] = {
    "role": get_args(Role),
    "backend": get_args(Backend),
    "precision": get_args(Precision),
    "contract": get_args(Contract),
    "servers": get_args(ServerKind),
    "devices": get_args(Device),
    "sources": get_args(WeightsKind),
    "accelerator": get_args(Accelerator),
}
_MODEL_NAME = re.compile(r"^[a-z0-9][a-z0-9_.-]*$")
_ASPECT = re.compile(r"^[1-9]\d?:[1-9]\d?$")
SQUARE = "1:1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One deployable choice: model, backend, precision and contract; one directory of the model repository.

    recipe: how `export/` makes the artifact; several variants may share one artifact's recipe.
    servers, devices: where it can run. sources: the kinds of weights it can be made from.
    min_map_share: the accuracy floor as a share of the baseline's mAP50-95.
    batch_buckets: the batch sizes an engine is prepared for (CUDA graphs, warm-up), ascending, last = max_batch_size.
    accelerator: what ONNX Runtime hands the graph to on a GPU; "none" is its own CUDA kernels.
    aspect: width to height of the input, "1:1" is the square of the textbook. The longer side is the input size.
    """

    model: str
    suffix: str
    role: Role
    backend: Backend
    precision: Precision
    contract: Contract
    recipe: str
    servers: tuple[ServerKind, ...]
    devices: tuple[Device, ...]
    max_batch_size: int
    batch_buckets: tuple[int, ...]
    instance_count: int
    max_queue_delay_us: int
    min_map_share: float
    cuda_graphs: bool
    tf32: bool
    sources: tuple[WeightsKind, ...] = ("torch", "onnx")
    accelerator: Accelerator = "none"
    aspect: str = SQUARE

    def __post_init__(self) -> None:
        """Raise ConfigError when a value is out of range."""
        if not _MODEL_NAME.match(self.model):
            raise ConfigError(
                f"model name must be lower-case letters, digits, '_', '-' or '.', got {self.model!r}; "
                "give it a name with --model-name, such as best"
            )
        if self.batch_buckets != tuple(sorted(set(self.batch_buckets))) or not self.batch_buckets:
            raise ConfigError(f"{self.name}: batch_buckets must ascend without repeats, got {list(self.batch_buckets)}")
        if self.batch_buckets[-1] != self.max_batch_size or self.batch_buckets[0] < 1:
            raise ConfigError(
                f"{self.name}: batch_buckets must end at max_batch_size {self.max_batch_size}, "
                f"got {list(self.batch_buckets)}"
            )
        if self.accelerator != "none" and self.backend != "onnxruntime":
            raise ConfigError(
                f"{self.name}: accelerator {self.accelerator!r} is for the onnxruntime backend, this is {self.backend}"
            )
        if not _ASPECT.match(self.aspect):
            raise ConfigError(f"{self.name}: aspect must be like 16:9, got {self.aspect!r}")
        if self.instance_count < 1 or self.max_queue_delay_us < 0 or not 0 <= self.min_map_share <= 1:
            raise ConfigError(
                f"{self.name}: instance_count must be at least 1, max_queue_delay_us at least 0, "
                "min_map_share within 0..1"
            )

    @property
    def name(self) -> str:
        """The directory name in the model repository, e.g. `yolo26n_onnx_fp16`."""
        return f"{self.model}_{self.suffix}"

    @property
    def is_quantised(self) -> bool:
        """Its ranges come from calibration frames."""
        return self.precision in ("int8", "fp8")

    @property
    def artifact_name(self) -> str:
        """The file name Triton loads, e.g. `model.onnx`."""
        return ARTIFACT_NAMES[self.backend]


def tensor_names(contract: str, *, task: str = "detect", backend: str = "") -> tuple[str, str]:
    """What a served model calls its input and its output. TorchScript has no names, so Triton gives numbers."""
    if backend == "pytorch":
        return "INPUT__0", "OUTPUT__0"
    if contract == "tensor":
        return "images", "output0"
    return "frames", "scores" if task == "classify" else "detections"


def input_wh_from_aspect(size: int, aspect: str, *, stride: int) -> tuple[int, int]:
    """Width and height of the input: the longer side is `size`, the other the next multiple of `stride`."""
    width, height = (int(part) for part in aspect.split(":"))
    # Rounded up in whole numbers: -(-a // b).
    strides_x, strides_y = (-(-size * part // (max(width, height) * stride)) for part in (width, height))
    return strides_x * stride, strides_y * stride


def default_variants_path() -> Path:
    """variants.toml of the working directory, else the package's own: a link to the checkout's, a copy in a wheel."""
    local = Path("variants.toml")
    return local if local.is_file() else Path(__file__).with_name("variants.toml").resolve()


def variants_from_toml(path: Path, *, model: str) -> tuple[Variant, ...]:
    """All variants that `path` defines, for one model name, in file order.

    Raises ConfigError naming the file, the table and the key that is wrong.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as exc:
        raise ConfigError(f"{path} does not exist; pass --variants FILE") from exc
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        remedy = f"correct it or restore it (in a checkout: `git checkout {path.name}`)"
        raise ConfigError(f"{path} cannot be read: {said_of_file(exc)}; {remedy}") from exc
    if document.get("schema_version") != 1:
        raise ConfigError(f"{path}: schema_version must be 1, got {document.get('schema_version')!r}")
    tables = document.get("variant")
    if not isinstance(tables, dict) or not tables:
        raise ConfigError(f"{path}: no [variant.<suffix>] table found; at least one is needed")
    defaults = document.get("defaults", {})
    variants = tuple(
        _variant_from_table({**defaults, **_whole_table(path, suffix, tables)}, path, suffix, model)
        for suffix in tables
    )
    for kind in get_args(WeightsKind):
        baselines = [v.suffix for v in variants if v.role == "baseline" and kind in v.sources]
        if len(baselines) != 1:
            raise ConfigError(
                f'{path}: exactly one variant must have role = "baseline" for {kind} weights, '
                f"found {baselines or 'none'}"
            )
    return variants


def _whole_table(path: Path, suffix: str, tables: Mapping[str, object]) -> dict[str, Any]:
    """The variant's own keys over those of the variant that it is `like`."""
    table = _expect_table(path, suffix, tables)
    if "like" not in table:
        return table
    other = table["like"]
    if not isinstance(other, str) or other not in tables or "like" in _expect_table(path, other, tables):
        fitting = [name for name, content in tables.items() if isinstance(content, dict) and "like" not in content]
        raise ConfigError(f"{path}: [variant.{suffix}]: like must be one of {fitting}, got {other!r}")
    own = {key: value for key, value in table.items() if key != "like"}
    return {**_expect_table(path, other, tables), **own}


def _expect_table(path: Path, suffix: str, tables: Mapping[str, object]) -> dict[str, Any]:
    table = tables[suffix]
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: [variant.{suffix}] must be a table, got {type(table).__name__}")
    return table


def _variant_from_table(table: Mapping[str, Any], path: Path, suffix: str, model: str) -> Variant:
    where = f"{path}: [variant.{suffix}]"
    known = {field.name for field in fields(Variant)} - {"model", "suffix"}
    if unknown := sorted(set(table) - known):
        raise ConfigError(f"{where} has unknown keys {unknown}; known keys are {sorted(known)}")
    required = {field.name for field in fields(Variant) if field.default is MISSING} - {"model", "suffix"}
    if missing := sorted(required - set(table)):
        raise ConfigError(f"{where} lacks {missing}; add them there or under [defaults]")
    values: dict[str, Any] = {}
    for key, value in table.items():
        allowed = _CHOICES.get(key)
        found = value if isinstance(value, list) else [value]
        if allowed and (not found or any(item not in allowed for item in found)):
            raise ConfigError(f"{where}: {key} must be of {list(allowed)}, got {value!r}")
        values[key] = tuple(value) if isinstance(value, list) else value
    for field in fields(Variant):
        expected = {"int": int, "float": float, "bool": bool, "str": str}.get(str(field.type))
        if expected is float and isinstance(values.get(field.name), int):
            values[field.name] = float(values[field.name])
        if expected and field.name in values and type(values[field.name]) is not expected:
            raise ConfigError(f"{where}: {field.name} must be {field.type}, got {values[field.name]!r}")
    for key in ("servers", "devices", "sources", "batch_buckets"):
        if key in values and not isinstance(values[key], tuple):
            raise ConfigError(f"{where}: {key} must be a list, got {values[key]!r}")
    if any(type(size) is not int for size in values["batch_buckets"]):
        raise ConfigError(f"{where}: batch_buckets must be a list of whole numbers, got {values['batch_buckets']!r}")
    return Variant(model=model, suffix=suffix, **values)


def select_variants(variants: tuple[Variant, ...], names: tuple[str, ...]) -> tuple[Variant, ...]:
    """The variants that `names` lists, by full name or suffix, in file order; all of them when `names` is empty."""
    chosen = all_chosen_by_name((variant.name for variant in variants), names, where="variants.toml")
    return tuple(variant for variant in variants if variant.name in chosen)


def select_variant(variants: tuple[Variant, ...], name: str) -> Variant:
    """The one variant of that full name or suffix."""
    chosen = chosen_by_name((variant.name for variant in variants), name, where="variants.toml")
    return next(variant for variant in variants if variant.name == chosen)
