from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from photofinish.errors import ConfigError, ExportError
from photofinish.export.loading.told import Told
from photofinish.export.loading.vocabulary.words import MAX_WORDS, class_names_from_text, words_from_options
from photofinish.export.loading.weights import OFFICIAL_ENCODERS, WeightsFile, find_text_encoder, with_words
from tests.export.open_vocabulary import NAMES, random_vectors, save_embeddings


def test_no_option_is_no_words() -> None:
    assert words_from_options("yolo26n.onnx", None, None, None) is None


@pytest.mark.parametrize("text", ["helmet, fork  lift", " helmet,fork lift ", "helmet，fork lift", "helmet、fork lift"])
def test_words_stand_between_commas(text: str) -> None:
    assert class_names_from_text(text) == ("helmet", "fork lift")


def test_a_file_gives_names_or_those_that_are_chosen(tmp_path: Path) -> None:
    path, vectors = save_embeddings(tmp_path / "words.npz"), random_vectors()
    every = words_from_options("yoloe.pt", None, path, None)
    assert every is not None
    assert every.class_names == NAMES
    assert (every.vectors == vectors).all()
    two = words_from_options("yoloe.pt", "Red car, helmet", path, None)
    assert two is not None
    assert two.class_names == ("Red car", "helmet")
    assert (two.vectors == vectors[[2, 0]]).all()
    assert Told(words=two).options == [("--classes", "Red car, helmet"), ("--class-embeddings", path)]
    assert Told(words=two).settings != Told(words=every).settings


def test_the_file_that_ultralytics_writes_is_read(tmp_path: Path) -> None:
    path = save_embeddings(tmp_path / "words.npz", random_vectors()[None], model=np.array("yoloe-26s"))
    words = words_from_options("yoloe.pt", None, path, None)
    assert words is not None
    assert (words.made_for, words.vectors is not None and words.vectors.shape) == ("yoloe-26s", (3, 512))


def test_other_lengths_are_scaled_and_told(tmp_path: Path) -> None:
    words = words_from_options("yoloe.pt", None, save_embeddings(tmp_path / "words.npz", 3 * random_vectors()), None)
    assert words is not None
    assert words.vectors is not None
    np.testing.assert_allclose(words.vectors, random_vectors(), atol=1e-6)
    assert re.search("scaled to length 1, they had 3 to 3", words.notices[0])


def _without_names(path: Path) -> None:
    np.savez(path, embeddings=random_vectors())


def _bare(path: Path) -> None:
    with path.open("wb") as stream:
        np.save(stream, random_vectors())


def _text(path: Path) -> None:
    path.write_text("helmet")


def _vectors(vectors: np.ndarray, names: object = NAMES) -> object:
    return lambda path: save_embeddings(path, vectors, names)


NOT_FINITE = random_vectors()
NOT_FINITE[1, 5] = np.nan
ZEROS = random_vectors() * np.array([[1], [0], [1]], np.float32)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (_without_names, "embeddings without names.*; expected a .npz with names"),
        (_bare, "one array without names.*; expected a .npz with names"),
        (_text, "cannot be used"),
        (lambda path: None, "cannot be used .*No such file"),
        (_vectors(random_vectors(2)), "names 3 classes for 2 embeddings"),
        (_vectors(random_vectors()[0]), r"embeddings are float32 of shape \(512,\)"),
        (_vectors(np.zeros((3, 512), np.int64)), r"embeddings are int64 of shape \(3, 512\)"),
        (_vectors(random_vectors(), [[1, 2, 3]]), r"names are int64 of shape \(1, 3\)"),
        (_vectors(random_vectors(), ["a", "b", "A"]), "names A, a more than once"),
        (_vectors(random_vectors(), ["a", "", "b"]), "has an empty name"),
        (_vectors(NOT_FINITE), "holds NaN or infinity"),
        (_vectors(ZEROS), "an embedding of zeros for forklift"),
    ],
)
def test_an_unusable_file_ends_in_one_line(tmp_path: Path, write: object, message: str) -> None:
    path = tmp_path / "words.npz"
    write(path)  # type: ignore[operator]
    with pytest.raises(ConfigError, match=message) as caught:
        words_from_options("yoloe.pt", None, path, None)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("weights", "classes", "file", "encoder", "message"),
    [
        ("a.pt", "helmet, ", None, None, "--classes has an empty name"),
        ("a.pt", "", None, None, "--classes has an empty name"),
        ("a.pt", "helmet, Helmet", None, None, "--classes names Helmet, helmet more than once"),
        ("a.pt", ",".join(map(str, range(MAX_WORDS + 1))), None, None, "names 5001 classes; a head takes at most 5000"),
        ("a.onnx", "helmet", None, None, r"--classes is for open-vocabulary checkpoints \(\.pt\).* not for a\.onnx"),
        ("demo", None, None, "encoder.ts", "--text-encoder is for open-vocabulary checkpoints"),
        ("a.pt", None, None, "encoder.ts", "makes embeddings of words, and none are given: add --classes"),
        ("a.pt", "helmet", None, "encoder.ts", "--text-encoder encoder.ts does not exist"),
        ("a.pt", "helmet", "words.npz", "encoder.ts", "both make the embeddings: pass one of them"),
        ("a.pt", "helmet, gloves", "words.npz", None, "no embedding of gloves; it names helmet, forklift, red car"),
    ],
)
def test_options_that_say_nothing_usable_end_in_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    weights: str,
    classes: str | None,
    file: str | None,
    encoder: str | None,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    save_embeddings(Path("words.npz"))
    with pytest.raises(ConfigError, match=message) as caught:
        words_from_options(weights, classes, Path(file) if file else None, Path(encoder) if encoder else None)
    assert "\n" not in str(caught.value)


def test_other_words_or_embeddings_are_another_model(tmp_path: Path) -> None:
    found = WeightsFile(kind="pt", spec="yoloe.pt", model="yoloe", sha256="ab")
    assert with_words(found, None) == found
    first, second = save_embeddings(tmp_path / "a.npz"), save_embeddings(tmp_path / "b.npz", random_vectors(seed=1))
    choices = [("helmet", first), ("helmet, forklift", first), ("forklift, helmet", first), ("helmet", second)]
    models = [with_words(found, words_from_options("yoloe.pt", text, file, None)) for text, file in choices]
    own = with_words(found, words_from_options("yoloe.pt", "安全帽", None, None))
    assert len({item.model for item in [*models, own]}) == len({item.sha256 for item in [*models, own]}) == 5
    assert re.fullmatch("yoloe_helmet-forklift_[0-9a-f]{6}", models[1].model)
    assert re.fullmatch("yoloe_[0-9a-f]{6}", own.model)
    named = with_words(found, words_from_options("yoloe.pt", "helmet", first, None), model_name="yoloe")
    assert (named.model, named.sha256) == ("yoloe", models[0].sha256)


def test_a_text_encoder_is_fetched_only_by_its_official_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert find_text_encoder(None, on_progress=said.append) is None
    assert find_text_encoder(Path("mine.ts"), on_progress=said.append) == Path("mine.ts")
    here = tmp_path / "mobileclip2_b.ts"
    here.touch()
    assert find_text_encoder(Path(here.name), on_progress=said.append) == Path(here.name)
    assert not said
    monkeypatch.setitem(OFFICIAL_ENCODERS, "mobileclip_blt.ts", "http://127.0.0.1:9/mobileclip_blt.ts")
    with pytest.raises(ExportError, match="copy the file to this machine and pass its path with --text-encoder, or"):
        find_text_encoder(Path("mobileclip_blt.ts"), on_progress=said.append)
    assert said == ["mobileclip_blt.ts is no file here: taking the official one, which is fetched once"]
