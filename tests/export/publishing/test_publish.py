from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from photofinish.errors import ExportError, ModelRepositoryError
from photofinish.export.build import StagedVariant
from photofinish.export.publishing.cards import card_from_directory, require_model, require_readable, rewrite_card
from photofinish.export.publishing.publish import publish_variants
from tests.builders import build_card
from tests.export.conftest import SUFFIXES, Tiny
from tests.export.tensorrt.variants import build, engine_variant, file_size_limit


def test_publishing_copies_all_but_the_record(tiny_staging: Tiny, tmp_path: Path) -> None:
    names = publish_variants(tiny_staging[1], tmp_path / "repository", clock_ns=lambda: 17)
    assert names == tuple(f"yolo26n_{suffix}" for suffix in SUFFIXES)
    for item in tiny_staging[1]:
        published = tmp_path / "repository" / item.variant.name
        assert sorted(path.name for path in published.iterdir()) == ["1", "config.pbtxt"]
        assert card_from_directory(published) == replace(item.card, published_ns=17), "the card says when"
    assert publish_variants(tiny_staging[1], tmp_path / "repository") == names
    last = card_from_directory(tmp_path / "repository" / names[0])
    assert last is not None
    assert last.published_ns > 17


def test_variants_of_other_weights_are_withdrawn(tiny_staging: Tiny, tmp_path: Path) -> None:
    publish_variants(tiny_staging[1], tmp_path)
    stale = tmp_path / "yolo26n_torch_fp32"
    card = card_from_directory(stale)
    assert card is not None
    rewrite_card(stale, replace(card, weights_sha256="other"))
    stranger = tmp_path / "someone_elses"
    stranger.mkdir()
    publish_variants([item for item in tiny_staging[1] if item.variant.suffix == "onnx_fp32"], tmp_path)
    assert not stale.exists()
    assert stranger.exists()
    assert (tmp_path / "yolo26n_onnx_fp16").exists()


def test_a_strangers_directory_is_never_replaced(tiny_staging: Tiny, tmp_path: Path) -> None:
    (tmp_path / "yolo26n_onnx_fp16").mkdir()
    with pytest.raises(ModelRepositoryError, match="was not made by Photofinish; move it away"):
        publish_variants(tiny_staging[1], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["yolo26n_onnx_fp16"]
    assert publish_variants([], tmp_path, withdraw=("yolo26n_onnx_fp16",)) == ()
    assert [path.name for path in tmp_path.iterdir()] == ["yolo26n_onnx_fp16"]


def test_variants_of_another_version_are_replaced_and_until_then_told(tiny_staging: Tiny, tmp_path: Path) -> None:
    """They cannot be read, and are ours all the same: a new export is what they wait for."""
    (name, *_) = publish_variants(tiny_staging[1], tmp_path)
    old = tmp_path / name / "config.pbtxt"
    old.write_text(old.read_text().replace('schema_version\\": 1', 'schema_version\\": 0'))
    assert card_from_directory(tmp_path / name) is None
    with pytest.raises(ModelRepositoryError, match=rf"{name} in .* has schema_version 0, .*export its weights again"):
        require_readable(tmp_path, [name])
    cards = {path.name: card_from_directory(path) for path in tmp_path.iterdir() if path.is_dir()}
    require_model(tmp_path, cards, "yolo26n")  # others of it can be read
    with pytest.raises(ModelRepositoryError, match="schema_version 0"):
        require_model(tmp_path, {name: None}, "yolo26n")
    require_model(tmp_path, {name: None}, "another")
    publish_variants(tiny_staging[1], tmp_path)
    assert card_from_directory(tmp_path / name) is not None
    require_readable(tmp_path, [name, "not there"])


@pytest.mark.usefixtures("rtx")
def test_full_disk_at_publishing_keeps_what_was_published(toy_path: Path, tmp_path: Path) -> None:
    """The copy fails in the middle of the engine; shutil gathers such errors into one without a number."""
    staged, repository = tmp_path / "staged", tmp_path / "repository"
    variant = engine_variant()
    build(toy_path, staged / "1" / "model.plan")
    (staged / "config.pbtxt").write_text("name: 'toy'", encoding="utf-8")
    card = build_card(variant=variant.name, backend="tensorrt", precision="fp16", device="cuda")
    item = StagedVariant(variant=variant, directory=staged, card=card, rebuilt=True)
    with (
        file_size_limit(4096),
        pytest.raises(ExportError, match=r"of this user allows \(.*repository has .* MB free\); free"),
    ):
        publish_variants([item], repository)
    assert list(repository.iterdir()) == []
