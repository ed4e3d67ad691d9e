"""`export --prune`: what it refuses before any work, what it teaches with, and what the gate compares with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from photofinish.errors import ConfigError, ExportError
from photofinish.export.publishing.staging import StagedVariant
from photofinish.flows import export as flow
from photofinish.flows.export import ExportRequest, run_export
from photofinish.flows.exporting.pruning import (
    PruneOptions,
    check_prune_options,
    pictures_to_learn_from,
    pruned_line,
)
from photofinish.flows.gate import GateOptions, GateOutcome
from photofinish.perf.accuracy.gate import GateCandidate, confidence_limit, point_limit
from photofinish.variant import default_variants_path
from tests.builders import build_card
from tests.export.pruning.conftest import small_data, small_weights

__all__ = ["small_data", "small_weights"]
OPTIONS = PruneOptions(ratio=0.3, pictures=None, epochs=1, minutes=1, floor=0.9)


def test_it_needs_pictures_and_the_gate(small_weights: Path, small_data: Path) -> None:
    with pytest.raises(ConfigError, match=r"--prune needs --data with a data\.yaml of your pictures"):
        check_prune_options(OPTIONS, str(small_weights), None, gate=True)
    with pytest.raises(ConfigError, match="--prune and --no-gate were both given"):
        check_prune_options(OPTIONS, str(small_weights), small_data, gate=False)
    with pytest.raises(ConfigError, match="--prune takes detectors with classes of their own, and no words"):
        check_prune_options(OPTIONS, str(small_weights), small_data, gate=True, words=True)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"names": ("onnx_fp23",)}, "unknown variant onnx_fp23"),
        ({"classes": "helmet"}, "leave --classes and its embeddings out"),
        ({"head": "yolox"}, "is for .onnx files"),
        ({"input_size": 100}, "must be a multiple of its stride"),
        ({"prune": None, "prune_pictures": Path("pictures")}, "--prune-pictures is for --prune alone"),
        ({"prune": None, "prune_epochs": 3}, "--prune-epochs is for --prune alone; pass --prune 0.3 too"),
    ],
)
def test_what_could_not_be_exported_is_refused_before_anything_learns(
    small_weights: Path, small_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: Any, said: str
) -> None:
    monkeypatch.setattr(flow, "prune_weights", lambda *_, **__: pytest.fail("it learnt first"))
    with pytest.raises((ConfigError, ExportError)) as caught:
        run_export(replace(_request(small_weights, small_data, tmp_path), **changes))
    assert said in str(caught.value)


def test_pictures_that_teach_nothing_are_refused_before_anything_is_exported(
    small_weights: Path, small_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow, "stage", lambda *_: pytest.fail("it exported first"))
    with pytest.raises(ConfigError, match="is not a folder; pass a folder of pictures"):
        run_export(replace(_request(small_weights, small_data, tmp_path), prune_pictures=tmp_path / "none"))


def test_the_gate_judges_by_no_picture_that_taught(small_data: Path, tmp_path: Path) -> None:
    assert len(pictures_to_learn_from(OPTIONS, small_data)) == 8
    images = small_data.parent / "images"
    for folder, said in (
        (images, "share 2 pictures, such as .*judged by what they learned from; pass --prune-pictures"),
        (tmp_path, "holds 0 pictures, expected at least 2"),
        (tmp_path / "none", "is not a folder"),
    ):
        options = PruneOptions(ratio=0.3, pictures=folder, epochs=1, minutes=1, floor=0.9)
        with pytest.raises(ConfigError, match=said):
            pictures_to_learn_from(options, small_data)
    without = small_data.with_name("without.yaml")
    without.write_text("val: images/val\nnames: [car, bus]\n")
    with pytest.raises(ConfigError, match="expected the key train; pass --prune-pictures FOLDER"):
        pictures_to_learn_from(OPTIONS, without)


def test_the_gate_compares_the_pruned_family_with_the_unpruned_baseline(
    small_weights: Path, small_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    seen: dict[str, Any] = {}

    def gate(
        staged: Sequence[StagedVariant], baseline: StagedVariant, repository: Path, options: GateOptions, **_: Any
    ) -> GateOutcome:
        seen.update(staged=staged, baseline=baseline, options=options)
        return GateOutcome(published=tuple(item.variant.name for item in staged), report=None)

    monkeypatch.setattr(flow, "gate_and_publish", gate)
    run_export(_request(small_weights, small_data, tmp_path))
    (staged,), baseline = seen["staged"], seen["baseline"]
    assert (staged.variant.name, baseline.variant.name) == ("small-pruned30_onnx_fp32", "small_torch_fp32_tensor")
    assert staged.card.weights_changed["by"] == "pruning"
    assert staged.card.unpruned_sha256 == baseline.card.weights_sha256 != staged.card.weights_sha256
    assert not baseline.card.weights_changed
    assert seen["options"].pruned_floor == 0.9
    told = capsys.readouterr().err
    assert "small-pruned30: weights changed: " in told
    assert "pruning: 8 pictures teach little; pass some hundreds" in told
    assert f"perf ladder --model small --weights-changed --repository {tmp_path}/model_repository` compares" in told


def test_options_that_do_not_go_together_are_refused_before_a_text_encoder_is_fetched(
    small_weights: Path, small_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched = "photofinish.export.loading.weights.downloaded_weights"
    monkeypatch.setattr(fetched, lambda *_, **__: pytest.fail("it fetched first"))
    request = replace(_request(small_weights, small_data, tmp_path), prune=None, text_encoder=Path("mobileclip2_b.ts"))
    with pytest.raises(ConfigError, match="both make the embeddings"):
        flow.stage(replace(request, class_embeddings=Path("a.npz")), request.names)
    with pytest.raises(ConfigError, match='add --classes "helmet, forklift"'):
        flow.stage(request, request.names)


def test_the_last_line_names_the_model_as_the_user_did() -> None:
    changed = {"parameters_share": 0.5, "operations_share": 0.4, "from_weights": "my best.pt", "from_model": "mine"}
    line = pruned_line(build_card(weights_changed=changed), "my best.pt", "mine", Path("model_repository"))
    assert "(`photofinish export --weights 'my best.pt' --model-name mine`), then" in line
    assert "`photofinish perf ladder --model mine --weights-changed`" in line
    elsewhere = pruned_line(build_card(weights_changed=changed), "my best.pt", None, Path("other models"))
    assert "--weights 'my best.pt' --repository 'other models'`), then" in elsewhere
    assert "--weights-changed --repository 'other models'` compares them" in elsewhere


def test_of_another_network_map_alone_decides(tmp_path: Path) -> None:
    values = {"name": "toy", "floor": 0.9, "card": build_card(), "directory": tmp_path}
    given, changed = (GateCandidate(weights_changed=item, **values) for item in (False, True))
    assert (confidence_limit(given), confidence_limit(changed)) == (0.01, 1.0)
    assert (point_limit(given), point_limit(changed)) == (0.01, 1.0)


def _request(weights: Path, data: Path, folder: Path) -> ExportRequest:
    return ExportRequest(
        weights=str(weights),
        names=("onnx_fp32",),
        head=None,
        names_file=None,
        boxes_only=False,
        classes=None,
        class_embeddings=None,
        text_encoder=None,
        device="cpu",
        gpus="all",
        targets=(),
        input_size=None,
        calibration=None,
        model_name=None,
        repository=folder / "model_repository",
        staging=folder / "staging",
        variants_path=default_variants_path(),
        data=data,
        frames=None,
        gate=True,
        kernels=False,
        accept_undecided=False,
        gate_frames=None,
        best=False,
        p95_ms=None,
        prune=0.3,
        prune_epochs=1,
        prune_minutes=1.0,
        prune_floor=0.9,
    )
