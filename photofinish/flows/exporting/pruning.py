"""`photofinish export --prune`: weights made smaller, taught by the unpruned ones, before anything is exported."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from photofinish.errors import ConfigError

if TYPE_CHECKING:
    from photofinish.export.loading.weights import WeightsFile
    from photofinish.model_card import ModelCard


USUAL_REPOSITORY = "model_repository"
"""Which commands take where none is named."""


FEW_PICTURES = 100
"""Fewer of them are told to teach little."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneOptions:
    """What the user asked for. ratio: the share of each layer's channels that goes.

    pictures: a folder to learn from, None takes the train pictures of the data.yaml. floor: what the pruned weights
    must keep of the unpruned baseline's mAP50-95, times each variant's own floor.
    """

    ratio: float
    pictures: Path | None
    epochs: int
    minutes: float
    floor: float


def check_prune_options(
    options: PruneOptions, weights: str, data: Path | None, *, gate: bool, words: bool = False
) -> WeightsFile:
    """The weights to prune, once everything that can be known before any work is right.

    words: whether there are some for open-vocabulary weights. Raises ConfigError or ExportError, in one line.
    """
    from photofinish.export.loading.weights import find_weights
    from photofinish.export.pruning.request import check_prunable

    found = find_weights(weights)
    check_prunable(found, options.ratio)
    if data is None:
        raise ConfigError(
            "--prune needs --data with a data.yaml of your pictures: it learns from those under train, and the gate "
            "compares with the unpruned weights on the labels of those under val"
        )
    if words:
        raise ConfigError(
            "--prune takes detectors with classes of their own, and no words: leave --classes and its embeddings out, "
            "or export without --prune"
        )
    if not gate:
        raise ConfigError("--prune and --no-gate were both given; pruned weights are published by the gate alone")
    pictures_to_learn_from(options, data)
    return found


def pictures_to_learn_from(options: PruneOptions, data: Path) -> tuple[Path, ...]:
    """The pictures that teach, none of which the gate looks at. ConfigError where there are none, or shared ones."""
    from photofinish.perf.accuracy.data_yaml import read_data_yaml
    from photofinish.pictures import image_paths_below

    remedy = "pass --prune-pictures FOLDER with other pictures of your cameras (no labels are needed)"
    if options.pictures is not None:
        if not options.pictures.is_dir():
            raise ConfigError(f"--prune-pictures {options.pictures} is not a folder; pass a folder of pictures")
        source, found = f"--prune-pictures {options.pictures}", image_paths_below(options.pictures)
    else:
        source = f"--data {data}: train"
        found = [picture.image for picture in read_data_yaml(data, splits=("train",), remedy=remedy).pictures]
    judged = {picture.image.resolve() for picture in read_data_yaml(data).pictures}
    if shared := sorted(judged.intersection(path.resolve() for path in found)):
        raise ConfigError(
            f"{source} and the gate share {len(shared)} pictures, such as {shared[0]}: the pruned weights would be "
            f"judged by what they learned from; {remedy}"
        )
    if len(found) < 2:
        raise ConfigError(f"{source} holds {len(found)} pictures, expected at least 2; {remedy}")
    return tuple(sorted(found))


def prune_weights(
    options: PruneOptions,
    found: WeightsFile,
    *,
    data: Path,
    device: str,
    input_size: int | None,
    staging: Path,
    on_progress: Callable[[str], None],
) -> WeightsFile:
    """The pruned weights, made now or kept from an earlier run with the same budget and pictures."""
    from photofinish.export.build import resolve_device
    from photofinish.export.pruning.checkpoint import pruned_weights
    from photofinish.export.pruning.request import FOLDER, PruneRequest

    pictures = pictures_to_learn_from(options, data)
    if len(pictures) < FEW_PICTURES:
        on_progress(
            f"pruning: {len(pictures)} pictures teach little; pass some hundreds of all your cameras by "
            "--prune-pictures FOLDER (no labels are needed)"
        )
    request = PruneRequest(
        found=found,
        ratio=options.ratio,
        pictures=pictures,
        epochs=options.epochs,
        minutes=options.minutes,
        device=resolve_device(device),
        input_size=input_size,
    )
    return pruned_weights(request, staging / FOLDER, on_progress=on_progress)


def pruned_line(card: ModelCard, weights: str, model_name: str | None, repository: Path) -> str:
    """What went, and how to compare: the last line of an export with `--prune`.

    weights, model_name, repository: as the user gave them.
    """
    changed = card.weights_changed
    named = ("--model-name", model_name) if model_name else ()
    there = () if repository == Path(USUAL_REPOSITORY) else ("--repository", str(repository))
    unpruned = shlex.join(("photofinish", "export", "--weights", weights, *named, *there))
    compared = shlex.join(
        ("photofinish", "perf", "ladder", "--model", changed["from_model"], "--weights-changed", *there)
    )
    return (
        f"{card.model}: weights changed: {changed['parameters_share']:.1%} of the parameters and "
        f"{changed['operations_share']:.1%} of the multiply-adds of {changed['from_weights']} are left; "
        f"export that too (`{unpruned}`), then "
        f"`{compared}` compares them"
    )
