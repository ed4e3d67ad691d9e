"""What a variant tells about itself: its card, made from its source, and read or changed in its directory."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from photofinish.errors import ModelRepositoryError
from photofinish.export.publishing.pbtxt import quoted
from photofinish.keypoints.layout import POINT_WIDTH
from photofinish.model_card import BOX_TASKS, CARD_PARAMETER, ModelCard, card_from_parameter
from photofinish.variant import Device, Variant

if TYPE_CHECKING:
    from photofinish.export.graph.source import ModelSource

CONFIG_NAME = "config.pbtxt"
RECORD_NAME = "export.json"
_CARD = re.compile(rf'(key: "{CARD_PARAMETER}"\s*value \{{\s*string_value: )("(?:[^"\\]|\\.)*")')


def card_from_source(
    source: ModelSource,
    variant: Variant,
    *,
    device: Device,
    parity: dict[str, Any],
    calibration: dict[str, Any] | None = None,
    engines: dict[str, Any] | None = None,
) -> ModelCard:
    """What the served variant will tell about itself."""
    tensor = variant.contract == "tensor"
    needs_nms = source.task in BOX_TASKS and not source.nms_free
    return ModelCard(
        variant=variant.name,
        model=variant.model,
        backend=variant.backend,
        precision=variant.precision,
        contract=variant.contract,
        role=variant.role,
        head=source.head if tensor or source.task == "classify" else "rows",
        nms="client" if needs_nms else "none",
        input_wh=source.input_wh,
        class_names=source.class_names,
        weights=source.weights,
        weights_sha256=source.weights_sha256,
        task=source.task,
        nms_iou=source.nms_iou,
        keypoint_names=source.keypoints.names if source.keypoints else (),
        keypoint_skeleton=source.keypoints.skeleton if source.keypoints else (),
        device=device,
        untrained=source.untrained,
        vocabulary=source.vocabulary,
        left_out=source.left_out,
        weights_changed=dict(source.weights_changed),
        tf32=variant.tf32,
        cuda_graphs=variant.cuda_graphs and device == "cuda",
        accelerator=variant.accelerator,
        batch_buckets=variant.batch_buckets,
        parity=parity,
        calibration=calibration or {},
        engines=engines or {},
    )


def ultralytics_metadata(source: ModelSource) -> str:
    """What Ultralytics' Triton client reads: a Python literal with class names, stride, size and kind of head."""
    width, height = source.input_wh
    metadata: dict[str, Any] = {
        "description": f"{source.model} exported by Photofinish",
        "stride": source.stride,
        "task": source.task,
        "batch": 1,
        "imgsz": [height, width],
        "names": dict(enumerate(source.class_names)),
        "channels": 3,
        "end2end": source.nms_free,
        "args": {"dynamic": False, "nms": False},
    }
    if source.keypoints:
        metadata["kpt_shape"] = [len(source.keypoints), POINT_WIDTH]
    return ascii(metadata)


def card_from_directory(directory: Path) -> ModelCard | None:
    """The card in a variant's config.pbtxt as we wrote it; None when the directory is not one of ours."""
    try:
        text = _card_text(directory)
        return card_from_parameter(text) if text is not None else None
    except (OSError, ValueError, ModelRepositoryError):
        return None


def is_ours(directory: Path) -> bool:
    """Whether a directory carries a card of Photofinish, also one of another version that is not read here."""
    try:
        return _card_text(directory) is not None
    except (OSError, ValueError):
        return False


def require_readable(repository: Path, names: Iterable[str]) -> None:
    """Raise ModelRepositoryError for the first of these variants whose card is ours and cannot be read, saying why."""
    for name in names:
        if is_ours(repository / name) and card_from_directory(repository / name) is None:
            try:
                card_from_parameter(_card_text(repository / name) or "")
            except ModelRepositoryError as exc:
                raise ModelRepositoryError(f"{name} in {repository} cannot be used: {exc}") from exc


def require_model(repository: Path, cards: Mapping[str, ModelCard | None], model: str | None) -> None:
    """Raise ModelRepositoryError where a model's variants are there and none of them can be read. cards: by name."""
    if model and not any(card is not None and card.model == model for card in cards.values()):
        own = [name for name, card in cards.items() if card is None and name.startswith(f"{model}_")]
        require_readable(repository, own)


def _card_text(directory: Path) -> str | None:
    """The card's JSON; None in a config that has none."""
    found = _CARD.search((directory / CONFIG_NAME).read_text(encoding="utf-8"))
    return str(json.loads(found.group(2))) if found else None  # our quoting of an ASCII string is JSON's


def rewrite_card(directory: Path, card: ModelCard) -> None:
    """Put another card into a staged variant's config.pbtxt and its record, each file replaced at once."""
    config = directory / CONFIG_NAME
    text = config.read_text(encoding="utf-8")
    if not _CARD.search(text):
        raise ModelRepositoryError(f"{config} carries no card of Photofinish; export the variant again")
    value = quoted(card.to_parameter())
    _replace_file(config, _CARD.sub(lambda found: found.group(1) + value, text))
    record = directory / RECORD_NAME
    if record.is_file():
        content = json.loads(record.read_text(encoding="utf-8"))
        _replace_file(record, json.dumps({**content, "card": asdict(card)}, indent=1))


def _replace_file(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.new")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
