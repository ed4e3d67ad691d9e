from __future__ import annotations

import copy
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ultralytics.nn.tasks import DetectionModel

from photofinish.errors import ExportError
from photofinish.export.graph.source import ModelSource
from photofinish.export.loading.ultralytics import source_from_pt
from photofinish.export.loading.vocabulary.words import GivenWords, words_from_options
from tests.export.open_vocabulary import NAMES, answers, random_vectors, save, save_embeddings, untrained

IMAGES = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
YOLOE = "yoloe-26n-seg.yaml"


@pytest.fixture(scope="module")
def yoloe() -> Any:
    """An untrained YOLOE with masks and an NMS-free head. Do not change it."""
    return untrained(YOLOE)


@pytest.fixture(scope="module")
def weights(yoloe: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its checkpoint."""
    return save(tmp_path_factory.mktemp("yoloe") / "yoloe-26n-seg.pt", yoloe)


def load(path: Path, words: GivenWords | None) -> ModelSource:
    return source_from_pt(path, model="toy", sha256="", input_size=64, words=words)


def words_of(folder: Path, classes: str | None = None, **more: Any) -> GivenWords:
    words = words_from_options("toy.pt", classes, save_embeddings(folder / "words.npz", **more), None)
    assert words is not None
    return words


def assert_rows_of(rows: torch.Tensor, wanted: torch.Tensor) -> None:
    """The rows are the answers of an unfused network with the highest confidences; equal ones in any order."""
    torch.testing.assert_close(rows[:20, 4], wanted[4:].flatten().topk(20).values, atol=1e-3, rtol=0)
    for row in rows[:20]:
        same_box = torch.isclose(wanted[:4].T, row[:4], rtol=1e-3, atol=0.1).all(dim=1)
        same_confidence = (wanted[4 + int(row[5])] - row[4]).abs() < 1e-3
        assert (same_box & same_confidence).any()


@pytest.mark.parametrize("description", [YOLOE, "yoloe-11n.yaml", "yolov8s-worldv2.yaml"])
def test_a_fused_head_answers_as_the_unfused_one(tmp_path: Path, description: str) -> None:
    network = untrained(description)
    source = load(save(tmp_path / "open.pt", network), words_of(tmp_path, "red car, helmet"))
    masks = "seg" in description
    assert (source.task, source.class_names, source.vocabulary) == ("detect", ("red car", "helmet"), "words.npz")
    assert (source.left_out, len(source.notices)) == (("masks", 1) if masks else ("", 0))
    wanted = answers(network, ["red car", "helmet"], random_vectors()[[2, 0]], IMAGES)[0]
    assert wanted[4:].std() > 0.01, "confidences must lie apart"
    with torch.no_grad():
        whole = source.expect_network()(IMAGES)[0]
    if source.nms_free:
        assert source.raw_dims == (84, 6)
        assert_rows_of(whole, wanted)
    else:
        torch.testing.assert_close(whole, wanted, atol=0.05, rtol=1e-3)
        assert source.make_fp16_network is not None
        with torch.no_grad():
            half = source.make_fp16_network()(IMAGES)[0]
        assert (half[4:] - whole[4:]).abs().mean() < 0.01, "untrained layers carry rounding far"


@pytest.mark.parametrize("both", [False, True])
def test_prompt_free_weights_have_their_own_classes(yoloe: Any, tmp_path: Path, both: bool) -> None:
    """As Ultralytics makes them: get_vocab and set_vocab, for the branch without NMS alone or for both."""
    names = [f"thing {number}" for number in range(20)]
    vectors = random_vectors(20)

    def vocabulary(layers: str) -> torch.nn.ModuleList:
        fused = copy.deepcopy(yoloe)
        fused.model[-1].fuse(torch.from_numpy(vectors)[None])
        return torch.nn.ModuleList(layer[-1] for layer in getattr(fused.model[-1], layers))

    network = copy.deepcopy(yoloe)
    network.args, network.end2end = {"imgsz": 64}, True
    ours = vocabulary("one2one_cv3")
    network.set_vocab(*((vocabulary("cv3"), names, ours) if both else (ours, names)))
    path = save(tmp_path / "yoloe-26n-seg-pf.pt", network)
    every, two = load(path, None), load(path, words_from_options("a.pt", "thing 7, Thing 3", None, None))
    assert (every.class_names, two.class_names) == (tuple(names), ("thing 7", "thing 3"))
    assert every.vocabulary == two.vocabulary == "the weights' own vocabulary"
    with torch.no_grad():
        assert_rows_of(every.expect_network()(IMAGES)[0], answers(yoloe, names, vectors, IMAGES)[0])
        wanted = answers(yoloe, ["a", "b"], vectors[[7, 3]], IMAGES)[0]
        assert_rows_of(two.expect_network()(IMAGES)[0], wanted)
    with pytest.raises(
        ExportError, match=r"has 20 classes of its own, like thing 9, thing 19, and none called thing 99"
    ):
        load(path, words_from_options("a.pt", "thing 99", None, None))
    with pytest.raises(ExportError, match="fixed vocabulary and takes no embeddings: leave --class-embeddings out"):
        load(path, words_of(tmp_path))


def test_weights_that_were_saved_with_their_classes_need_no_embeddings(yoloe: Any, tmp_path: Path) -> None:
    network = copy.deepcopy(yoloe)
    network.set_classes(list(NAMES), torch.from_numpy(random_vectors())[None])
    path = save(tmp_path / "mine.pt", network)
    every, one = load(path, None), load(path, words_from_options("a.pt", "forklift", None, None))
    assert (every.class_names, one.class_names) == (NAMES, ("forklift",))
    with torch.no_grad():
        wanted = answers(yoloe, ["forklift"], random_vectors()[[1]], IMAGES)[0]
        assert_rows_of(one.expect_network()(IMAGES)[0], wanted)
    with pytest.raises(
        ExportError, match=r"3 classes of its own, .* none called gloves: pass --text-encoder mobileclip2"
    ):
        load(path, words_from_options("a.pt", "gloves", None, None))


def test_without_embeddings_the_three_ways_are_told(weights: Path) -> None:
    ways = r"pass --text-encoder mobileclip2_b\.ts, or --class-embeddings FILE\.npz, or prompt-free weights"
    with pytest.raises(ExportError, match=rf"has no embeddings of these classes: {ways}") as caught:
        load(weights, words_from_options("a.pt", "helmet", None, None))
    assert "\n" not in str(caught.value)
    with pytest.raises(ExportError, match=f'finds what words say: name them with --classes "…" and {ways}'):
        load(weights, None)


def test_embeddings_of_other_weights_are_refused(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"has embeddings of 256 values, yoloe-26n-seg\.pt takes 512"):
        load(weights, words_of(tmp_path, vectors=random_vectors(width=256)))
    with pytest.raises(ExportError, match="was made with yoloe-11s, not with yoloe-26n; embeddings fit the weights"):
        load(weights, words_of(tmp_path, model=np.array("yoloe-11s")))
    assert load(weights, words_of(tmp_path, model=np.array("yoloe-26n"))).class_names == NAMES


def test_ordinary_weights_take_no_words(tmp_path: Path) -> None:
    network = DetectionModel("yolo26n.yaml", nc=2, verbose=False)
    network.names = {0: "car", 1: "bus"}
    with pytest.raises(ExportError, match="finds the 2 classes it was trained on and takes no words: leave --classes"):
        load(save(tmp_path / "two.pt", network), words_of(tmp_path))


class Encoder(torch.nn.Module):
    """Tokens (classes, 77) to embeddings (classes, width) of unit length."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(77, width)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.normalize(self.layer(tokens.float()), dim=-1)


@pytest.fixture
def tokenizer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stands for the package clip: a word's letters are its tokens."""

    def tokenize(texts: list[str], truncate: bool = False) -> torch.Tensor:
        return torch.tensor([[ord(letter) for letter in text.ljust(77)[:77]] for text in texts])

    package = types.ModuleType("clip")
    package.tokenize, package.clip = tokenize, types.SimpleNamespace(tokenize=tokenize)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "clip", package)
    monkeypatch.delitem(sys.modules, "ultralytics.nn.text_model", raising=False)


def encoder_file(folder: Path, name: str, width: int = 512) -> Path:
    torch.manual_seed(1)
    torch.jit.script(Encoder(width)).save(str(folder / name))
    return folder / name


def test_a_text_encoder_makes_the_embeddings(yoloe: Any, weights: Path, tmp_path: Path, tokenizer: None) -> None:
    encoder = encoder_file(tmp_path, "mobileclip2_b.ts")
    words = words_from_options("a.pt", "helmet, forklift", None, encoder)
    source = load(weights, words)
    assert (source.class_names, source.vocabulary) == (("helmet", "forklift"), "mobileclip2_b.ts")
    assert len(source.notices) == 1, "of the masks"
    letters = torch.tensor([[ord(letter) for letter in name.ljust(77)] for name in ("helmet", "forklift")])
    with torch.no_grad():
        made = yoloe.model[-1].get_tpe(torch.jit.load(str(encoder))(letters)[None])[0].numpy()
        assert_rows_of(source.expect_network()(IMAGES)[0], answers(yoloe, ["a", "b"], made, IMAGES)[0])


@pytest.mark.parametrize(
    ("name", "width", "message"),
    [
        ("mobileclip_blt.ts", 512, "is not the one of yoloe-26n-seg.pt, which was trained with mobileclip2_b.ts"),
        ("mine.ts", 256, "is not a text encoder that Ultralytics reads|makes embeddings of shape"),
    ],
)
def test_another_text_encoder_is_refused(
    weights: Path, tmp_path: Path, tokenizer: None, name: str, width: int, message: str
) -> None:
    with pytest.raises(ExportError, match=message) as caught:
        load(weights, words_from_options("a.pt", "helmet", None, encoder_file(tmp_path, name, width)))
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_text_encoder_is_refused(weights: Path, tmp_path: Path, tokenizer: None) -> None:
    path = tmp_path / "mobileclip2_b.ts"
    path.write_text("no encoder")
    with pytest.raises(ExportError, match=r"is not a text encoder that Ultralytics reads .*: pass mobileclip2_b\.ts"):
        load(weights, words_from_options("a.pt", "helmet", None, path))


def test_a_missing_tokenizer_is_told(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "clip", None)
    with pytest.raises(ExportError, match=r"needs CLIP's tokenizer .*, or pass --class-embeddings"):
        load(weights, words_from_options("a.pt", "helmet", None, encoder_file(tmp_path, "mobileclip2_b.ts")))
