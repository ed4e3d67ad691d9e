"""The words of open-vocabulary weights: what `--classes`, `--class-embeddings` and `--text-encoder` say."""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from photofinish.errors import ConfigError, reason_from_error
from photofinish.source_hash import sha256_from_file

MAX_WORDS = 5000
"""More than the largest vocabulary of Ultralytics (4585); at 640 pixels a raw head of so many is 168 MB a picture."""
UNIT_TOLERANCE = 0.01
"""How far rounding to FP16 may carry the length of a unit vector."""
MADE_BY_ULTRALYTICS = "YOLOE.save_prompt_embeddings writes such a file"
_SHOWN_WORDS = 24
"""Letters of the words in a model's name; the hash behind them tells models apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenWords:
    """The classes that open-vocabulary weights get, by class number, and what their embeddings are made of.

    class_names: each once, none empty. vectors: (classes, width) float32 of unit length, from embeddings_file.
    text_encoder: makes them instead; without either, the weights must have embeddings of these classes themselves.
    made_for: the weights that embeddings_file names, as Ultralytics names them; "" where it names none.
    sha256: of all this. given_classes: `--classes` as the user wrote it. notices: lines that the user must see.
    """

    class_names: tuple[str, ...]
    sha256: str
    vectors: npt.NDArray[np.float32] | None = field(default=None, repr=False, compare=False)
    embeddings_file: Path | None = None
    text_encoder: Path | None = None
    made_for: str = ""
    given_classes: str = ""
    notices: tuple[str, ...] = ()

    @property
    def options(self) -> list[tuple[str, object]]:
        """The options that say so again, with their values."""
        values = (
            ("--classes", self.given_classes),
            ("--class-embeddings", self.embeddings_file),
            ("--text-encoder", self.text_encoder),
        )
        return [(flag, value) for flag, value in values if value]

    def model_name(self, weights_model: str) -> str:
        """The model's name with the beginning of the words, and a hash: other words are another model."""
        shown = re.sub(r"[^a-z0-9]+", "-", "-".join(self.class_names).lower()).strip("-")[:_SHOWN_WORDS].strip("-")
        return "_".join(part for part in (weights_model, shown, self.sha256[:6]) if part)

    def weights_sha256(self, of_file: str) -> str:
        """The hash of the weights together with their words."""
        return hashlib.sha256(f"{of_file} {self.sha256}".encode()).hexdigest()


def words_from_options(
    weights: str, classes: str | None, embeddings_file: Path | None, text_encoder: Path | None
) -> GivenWords | None:
    """What the three options say, None where none is given. ConfigError, in one line, where they say nothing usable.

    classes: names between commas; without them those of embeddings_file. text_encoder: a file that is here.
    """
    chosen = check_word_options(weights, classes, embeddings_file, text_encoder)
    if embeddings_file:
        return _words_from_file(embeddings_file, chosen, classes or "")
    if chosen is None:
        return None
    if text_encoder and not text_encoder.is_file():
        raise ConfigError(f"--text-encoder {text_encoder} does not exist; pass the path of the file")
    made_of = sha256_from_file(text_encoder) if text_encoder else "the weights"
    return GivenWords(
        class_names=chosen, sha256=_hash(chosen, made_of), text_encoder=text_encoder, given_classes=classes or ""
    )


def check_word_options(
    weights: str, classes: str | None, embeddings_file: Path | None, text_encoder: Path | None
) -> tuple[str, ...] | None:
    """The names of `--classes`, None without it. ConfigError where the options do not go together; reads no file."""
    if classes is None and embeddings_file is None and text_encoder is None:
        return None
    flag = "--classes" if classes is not None else "--class-embeddings" if embeddings_file else "--text-encoder"
    if not weights.lower().endswith(".pt"):
        raise ConfigError(
            f"{flag} is for open-vocabulary checkpoints (.pt) of Ultralytics, such as yoloe-26s-seg.pt, not for "
            f"{weights}: leave it out"
        )
    if embeddings_file and text_encoder:
        raise ConfigError("--class-embeddings and --text-encoder both make the embeddings: pass one of them")
    if text_encoder and classes is None:
        raise ConfigError(
            '--text-encoder makes embeddings of words, and none are given: add --classes "helmet, forklift"'
        )
    return None if classes is None else class_names_from_text(classes)


def class_names_from_text(text: str) -> tuple[str, ...]:
    """The names between the commas of `--classes`, Chinese ones too."""
    names = tuple(" ".join(part.split()) for part in re.split("[,，、]", text))
    return _checked(names, "--classes")


def _checked(names: Sequence[str], where: str) -> tuple[str, ...]:
    if not all(name.strip() for name in names):
        raise ConfigError(f"{where} has an empty name; pass one name for each class, with commas between them")
    # Text encoders take no notice of capitals.
    keys = [name.casefold() for name in names]
    if doubled := sorted({name for name, key in zip(names, keys, strict=True) if keys.count(key) > 1}):
        raise ConfigError(f"{where} names {', '.join(doubled[:5])} more than once; name each class once")
    if len(names) > MAX_WORDS:
        raise ConfigError(f"{where} names {len(names)} classes; a head takes at most {MAX_WORDS}: name fewer")
    return tuple(names)


def _words_from_file(path: Path, chosen: tuple[str, ...] | None, given: str) -> GivenWords:
    names, vectors, made_for = _read(path)
    where = f"--class-embeddings {path}"
    known = _checked(names, where)
    if vectors.shape[0] != len(known):
        raise ConfigError(f"{where} names {len(known)} classes for {vectors.shape[0]} embeddings; write the file again")
    if not np.isfinite(vectors).all():
        raise ConfigError(f"{where} holds NaN or infinity; write the file again")
    lengths = np.linalg.norm(vectors, axis=1)
    if zero := [name for name, length in zip(known, lengths, strict=True) if length < UNIT_TOLERANCE]:
        raise ConfigError(f"{where} has an embedding of zeros for {', '.join(zero[:5])}; write the file again")
    notices: tuple[str, ...] = ()
    if np.abs(lengths - 1).max() > UNIT_TOLERANCE:
        notices = (f"{where}: embeddings were scaled to length 1, they had {lengths.min():.3g} to {lengths.max():.3g}",)
    class_names = known if chosen is None else chosen
    rows = {name.casefold(): index for index, name in enumerate(known)}
    if missing := [name for name in class_names if name.casefold() not in rows]:
        raise ConfigError(
            f"{where} has no embedding of {', '.join(missing[:5])}; it names {', '.join(known[:5])}"
            f"{' and more' if len(known) > 5 else ''}: take the names from there"
        )
    picked = (vectors / lengths[:, None])[[rows[name.casefold()] for name in class_names]]
    return GivenWords(
        class_names=class_names,
        sha256=_hash(class_names, hashlib.sha256(picked.tobytes()).hexdigest()),
        vectors=picked,
        embeddings_file=path,
        made_for=made_for,
        given_classes=given,
        notices=notices,
    )


def _read(path: Path) -> tuple[list[str], npt.NDArray[np.float32], str]:
    """Names, embeddings (classes, width) and the weights they were made for, as a .npz file holds them."""
    expected = f"expected a .npz with names (text) and embeddings [classes, width] (float); {MADE_BY_ULTRALYTICS}"
    where = f"--class-embeddings {path}"
    try:
        opened = np.load(path, allow_pickle=False)
        if not isinstance(opened, np.lib.npyio.NpzFile):
            raise ValueError("it is one array without names")
        with opened as data:
            if "embeddings" not in data.files:
                raise ValueError(f"it holds {', '.join(data.files) or 'nothing'}")
            if "names" not in data.files:
                raise ValueError("it holds embeddings without names")
            names, embeddings = data["names"], data["embeddings"]
            made_for = str(data["model"]) if "model" in data.files else ""
    except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile) as exc:
        raise ConfigError(f"{where} cannot be used ({reason_from_error(exc)}); {expected}") from exc
    if names.ndim != 1 or names.dtype.kind != "U":
        raise ConfigError(f"{where}: names are {names.dtype} of shape {names.shape}; {expected}")
    table = embeddings[0] if embeddings.ndim == 3 and len(embeddings) == 1 else embeddings
    if table.ndim != 2 or table.dtype.kind != "f" or not table.shape[1]:
        raise ConfigError(f"{where}: embeddings are {embeddings.dtype} of shape {embeddings.shape}; {expected}")
    return [str(name) for name in names], table.astype(np.float32), made_for


def _hash(class_names: tuple[str, ...], made_of: str) -> str:
    return hashlib.sha256(json.dumps([class_names, made_of]).encode()).hexdigest()
