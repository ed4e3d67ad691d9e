"""Channels that go and weights that learn, on a small network."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from photofinish.errors import ConfigError, ExportError
from photofinish.export.loading.ultralytics import network_from_pt, source_from_pt
from photofinish.export.loading.weights import WeightsFile, find_weights
from photofinish.export.pruning.checkpoint import pruned_weights
from photofinish.export.pruning.distil import TeachingPlan, teach
from photofinish.export.pruning.halves import Halves
from photofinish.export.pruning.request import FOLDER, PruneRequest, check_prunable, pruned_name
from photofinish.export.pruning.structure import keep_served_head, outputs_from_network, prune_channels

DEMO_WEIGHTS = Path(__file__).parents[3] / "export" / "weights" / "demo_traffic.pt"
IMAGES = torch.linspace(0, 1, 2 * 3 * 64 * 64).reshape(2, 3, 64, 64)


@pytest.fixture
def network(small_weights: Path) -> Any:
    loaded = network_from_pt(small_weights).float().eval()
    keep_served_head(loaded, "small.pt")
    return loaded


def test_a_block_in_halves_computes_the_same_and_becomes_itself_again(network: Any) -> None:
    with torch.no_grad():
        wanted, _ = outputs_from_network(network, IMAGES)
        for position in (2, 4, 5):
            network.model[position] = Halves(network.model[position])
        halved, _ = outputs_from_network(network, IMAGES)
        for position in (2, 4, 5):
            network.model[position] = network.model[position].merged()
        merged, _ = outputs_from_network(network, IMAGES)
    for found in (halved, merged):
        assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_channels_go_and_the_answers_keep_their_shape(network: Any) -> None:
    with torch.no_grad():
        wanted, before = outputs_from_network(network, IMAGES)
        figures, kept = prune_channels(network, 0.3, weights="small.pt")
        found, after = outputs_from_network(network, IMAGES)
    assert {name: item.shape for name, item in found.items()} == {name: item.shape for name, item in wanted.items()}
    assert figures.parameters == sum(item.numel() for item in network.parameters())
    assert 0.3 < figures.parameters_share < 0.9
    assert 0.3 < figures.operations_share < 0.9
    assert 0 < figures.kept_whole < figures.convolutions
    for position, index in kept.blocks.items():
        assert len(index) == after[position].shape[1] <= before[position].shape[1]
        assert int(index.max()) < before[position].shape[1]
    assert not any(isinstance(block, Halves) for block in network.modules()), "Ultralytics alone must open it"
    attention = next(block for block in network.model if type(block).__name__ == "C2PSA")
    assert attention.cv1.conv.out_channels == 128, "attention keeps its channels"


def test_the_unpruned_answers_are_approached(street_pictures: tuple[Path, ...]) -> None:
    student = network_from_pt(DEMO_WEIGHTS).float().eval()
    keep_served_head(student, DEMO_WEIGHTS.name)
    teacher = copy.deepcopy(student)
    _, kept = prune_channels(student, 0.3, weights=DEMO_WEIGHTS.name)
    plan = TeachingPlan(pictures=street_pictures, input_size=128, epochs=8, minutes=5, batch_size=4)
    told: list[str] = []
    figures = teach(student, teacher, kept, plan, on_progress=told.append)
    assert figures.distance_refit < figures.distance_before, "its weights solved anew answer better"
    assert figures.distance < 0.9 * figures.distance_before, "sixteen steps on eight pictures bring it nearer"
    assert (figures.steps, figures.pictures) == (16, 8)
    assert told[0].startswith("pruning: learning from 8 pictures, at most 8 epochs and 5 min")
    assert "distance to the unpruned answers" in told[-1]
    ticks = iter(range(0, 10_000, 90))
    stopped = teach(student, teacher, kept, plan, on_progress=told.append, clock=lambda: float(next(ticks)))
    assert 0 < stopped.steps < 5, "minutes end it before its epochs do"
    assert any("of 8, " in line and "of 5 min, loss" in line for line in told)


def test_pruned_weights_are_a_checkpoint_that_says_what_they_were(
    small_weights: Path, small_data: Path, tmp_path: Path
) -> None:
    found = find_weights(str(small_weights))
    pictures = tuple(sorted((small_data.parent / "images" / "train").iterdir()))
    request = PruneRequest(found=found, ratio=0.5, pictures=pictures, epochs=1, minutes=1, device="cpu")
    told: list[str] = []
    made = pruned_weights(request, tmp_path / FOLDER, on_progress=told.append)
    assert made.model == "small-pruned50"
    assert any("% of the parameters and" in line and "keep all their channels" in line for line in told)
    source = source_from_pt(Path(made.spec), model=made.model, sha256=made.sha256, input_size=None)
    changed = source.weights_changed
    assert (changed["by"], changed["from_sha256"], changed["ratio"]) == ("pruning", found.sha256, 0.5)
    assert source.raw_dims == source_from_pt(small_weights, model="small", sha256="", input_size=None).raw_dims
    assert (source.nms_free, source.input_wh, source.class_names) == (True, (64, 64), ("car", "bus"))
    again = pruned_weights(request, tmp_path / FOLDER, on_progress=told.append)
    assert again == made
    assert "are fresh" in told[-1]
    other = pruned_weights(dataclasses.replace(request, epochs=2), tmp_path / FOLDER, on_progress=told.append)
    assert other.sha256 != made.sha256
    twice = dataclasses.replace(request, found=made)
    with pytest.raises(ExportError, match=r"already pruned from small\.pt; prune that one"):
        pruned_weights(twice, tmp_path, on_progress=told.append)


@pytest.mark.parametrize(
    ("ratio", "kind", "said"),
    [
        (0.0, "pt", "--prune must lie between 0 and 0.9, got 0; begin with --prune 0.3"),
        (0.9, "pt", "between 0 and 0.9"),
        (float("nan"), "pt", "between 0 and 0.9, got nan"),
        (0.3, "onnx", "cannot be fine-tuned; pass the .pt"),
        (0.3, "torchvision", "is a classifier"),
        (0.3, "yaml", "without weights"),
    ],
)
def test_what_cannot_be_pruned_is_one_line(ratio: float, kind: Any, said: str) -> None:
    found = WeightsFile(kind=kind, spec="a.file", model="a", sha256="")
    with pytest.raises((ConfigError, ExportError)) as caught:
        check_prunable(found, ratio)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_the_library_the_command_that_installs_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("photofinish.export.pruning.request.importlib.util.find_spec", lambda name: None)
    with pytest.raises(ExportError, match=r"pip install 'photofinish\[prune\]'"):
        check_prunable(WeightsFile(kind="pt", spec="a.pt", model="a", sha256=""), 0.3)


def test_heads_and_networks_that_are_not_followed_are_refused(network: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    network.model[-1].__class__ = type("Pose", (type(network.model[-1]),), {})
    with pytest.raises(ExportError, match="has a Pose head; --prune takes detectors with a Detect head"):
        keep_served_head(network, "pose.pt")

    def fails(*args: Any, **options: Any) -> None:
        raise IndexError("index 40 is out of bounds")

    monkeypatch.setattr("torch_pruning.pruner.BasePruner", fails)
    with pytest.raises(ExportError, match=r"small\.pt cannot be pruned \(.*index 40.*without --prune"):
        prune_channels(network, 0.3, weights="small.pt")


def test_a_gpu_without_room_is_told_in_one_line(
    small_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def teach_nothing(*_: Any, **__: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr("photofinish.export.pruning.checkpoint.teach", teach_nothing)
    request = PruneRequest(
        found=find_weights(str(small_weights)), ratio=0.5, pictures=(), epochs=1, minutes=1, device="cpu"
    )
    with pytest.raises(ExportError, match=r"too little free memory .* at 64 pixels; .* smaller --input-size"):
        pruned_weights(request, tmp_path / FOLDER, on_progress=print)
    assert not (tmp_path / FOLDER).exists()


def test_stopped_while_learning_it_says_so_and_keeps_nothing(
    small_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("photofinish.export.pruning.checkpoint.teach", stopped)
    request = PruneRequest(
        found=find_weights(str(small_weights)), ratio=0.5, pictures=(), epochs=1, minutes=1, device="cpu"
    )
    told: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        pruned_weights(request, tmp_path / FOLDER, on_progress=told.append)
    assert told[-1] == "pruning: stopped while learning: nothing of it is kept, and the same command begins anew"
    assert not (tmp_path / FOLDER).exists()


def test_the_name_says_how_much() -> None:
    assert [pruned_name("m", ratio) for ratio in (0.3, 0.05, 0.295)] == ["m-pruned30", "m-pruned05", "m-pruned30"]
