"""Ultralytics' open-vocabulary networks (YOLOE, YOLO-World) fused with words: from then on ordinary detectors."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from ultralytics.nn.modules import Detect
from ultralytics.nn.modules.head import WorldDetect, YOLOEDetect
from ultralytics.nn.tasks import WorldModel

from photofinish.errors import ExportError, reason_from_error
from photofinish.export.loading.class_names import names_by_number
from photofinish.export.loading.vocabulary.words import GivenWords
from photofinish.machine.scratch import scratch_folder

ENCODERS: Mapping[str, str] = {
    "mobileclip:blt": "mobileclip_blt.ts",
    "mobileclip2:b": "mobileclip2_b.ts",
    "clip:ViT-B/32": "ViT-B-32.pt",
}
"""The text encoder's file, by the name that Ultralytics' weights have for it."""
OWN = "the weights' own vocabulary"
_PARTS = ("cv4", "one2one_cv4", "cv5", "one2one_cv5", "lrpc", "one2one_lrpc", "reprta", "savpe", "proto")
"""What an open-vocabulary head has beside a detector's: words, prompts, masks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fused:
    """A network whose classes are fixed. vocabulary: where their embeddings came from. notices: for the user."""

    network: Any
    vocabulary: str
    notices: tuple[str, ...]


def is_open_vocabulary(network: Any) -> bool:
    """Whether the network takes words for its classes."""
    return isinstance(network.model[-1], (YOLOEDetect, WorldDetect))


def fused_with_words(network: Any, words: GivenWords | None, weights: str) -> Fused:
    """The network, changed in place, with the classes of `words`, or with its own. FP32, in eval mode, on the CPU.

    Masks are left out. ExportError where there are no embeddings, or they do not fit.
    """
    head = network.model[-1]
    if getattr(head, "one2one_cv2", None) is not None:
        head.end2end = True
    notices = list(words.notices) if words else []
    if "proto" in head._modules:
        notices.append(f"{weights} finds masks too; they are left out, its boxes are served")
    with torch.no_grad():
        if isinstance(head, YOLOEDetect) and (hasattr(head, "lrpc") or head.is_fused):
            _refuse_embeddings(words, weights)
            names = _own_names(network, weights)
            rows = _rows_of(words, names, weights)
            _take_classes(head, rows)
            chosen, vocabulary = [names[row] for row in rows], OWN
        else:
            chosen, vectors, vocabulary = _embeddings(network, words, weights, notices)
            if isinstance(head, YOLOEDetect):
                head.fuse(vectors)
            else:
                network.txt_feats = vectors
    head.nc = len(chosen)
    head.no = head.nc + 4 * head.reg_max
    network.names = dict(enumerate(chosen))
    if isinstance(head, YOLOEDetect):
        for part in _PARTS:
            head._modules.pop(part, None)
        head.__class__ = Detect
    return Fused(network=network, vocabulary=vocabulary, notices=tuple(notices))


def _embeddings(
    network: Any, words: GivenWords | None, weights: str, notices: list[str]
) -> tuple[list[str], torch.Tensor, str]:
    """Class names, their embeddings [1, classes, width] and where these came from."""
    head = network.model[-1]
    width = int(head.cv3[0][-1].out_channels)
    if words is not None and words.vectors is not None and words.embeddings_file is not None:
        if words.vectors.shape[1] != width:
            raise ExportError(
                f"--class-embeddings {words.embeddings_file} has embeddings of {words.vectors.shape[1]} values, "
                f"{weights} takes {width}: make them with these weights"
            )
        # Ultralytics leaves out what says that the weights find masks too.
        name, made_for = (text.removesuffix("-seg") for text in (Path(weights).stem, words.made_for))
        if made_for and made_for != name:
            raise ExportError(
                f"--class-embeddings {words.embeddings_file} was made with {made_for}, not with {name}; embeddings fit "
                "the weights that made them: make them again with these, or give these the name that they had"
            )
        return list(words.class_names), torch.from_numpy(words.vectors)[None], words.embeddings_file.name
    if words is not None and words.text_encoder is not None:
        vectors = _encoded(network, words.class_names, words.text_encoder, weights, notices)
        if vectors.shape != (1, len(words.class_names), width) or not bool(vectors.isfinite().all()):
            raise ExportError(
                f"--text-encoder {words.text_encoder} makes embeddings of shape {tuple(vectors.shape)}, {weights} "
                f"takes finite ones of (1, {len(words.class_names)}, {width}): pass {_encoder_of(network)}"
            )
        return list(words.class_names), vectors, words.text_encoder.name
    own = getattr(network, "txt_feats" if isinstance(network, WorldModel) else "pe", None)
    names = _own_names(network, weights)
    if not isinstance(own, torch.Tensor) or tuple(own.shape) != (1, len(names), width) or not names:
        lacks = (
            "has no embeddings of these classes:" if words else 'finds what words say: name them with --classes "…" and'
        )
        raise ExportError(f"{weights} {lacks} {_three_ways(network)}")
    rows = _rows_of(words, names, weights, remedy=_three_ways(network))
    return [names[row] for row in rows], own.detach().clone().float()[:, rows], OWN


def _three_ways(network: Any) -> str:
    return (
        f"pass --text-encoder {_encoder_of(network)}, or --class-embeddings FILE.npz, "
        "or prompt-free weights (yoloe-…-pf.pt)"
    )


def _encoder_of(network: Any) -> str:
    default = "clip:ViT-B/32" if isinstance(network, WorldModel) else "mobileclip:blt"
    told = str(getattr(network, "text_model", default))
    return ENCODERS.get(told, told)


def _own_names(network: Any, weights: str) -> list[str]:
    names = names_by_number(getattr(network, "names", {}), weights, remedy="correct it")
    return [names[number] for number in sorted(names)]


def _rows_of(words: GivenWords | None, names: list[str], weights: str, remedy: str = "") -> list[int]:
    """The numbers of the chosen classes among the weights' own; all without words."""
    if words is None:
        return list(range(len(names)))
    rows = {name.casefold(): number for number, name in reversed(list(enumerate(names)))}
    if missing := [name for name in words.class_names if name.casefold() not in rows]:
        near = [found for name in missing for found in difflib.get_close_matches(name.casefold(), rows, n=2)][:5]
        like = f"like {', '.join(near)}" if near else f"such as {', '.join(names[:3])}"
        raise ExportError(
            f"{weights} has {len(names)} classes of its own, {like}, and none called {', '.join(missing[:5])}: "
            f"{remedy or 'choose among them, or pass weights that take words, such as yoloe-26s-seg.pt'}"
        )
    return [rows[name.casefold()] for name in words.class_names]


def _refuse_embeddings(words: GivenWords | None, weights: str) -> None:
    if words and (words.embeddings_file or words.text_encoder):
        flag = "--class-embeddings" if words.embeddings_file else "--text-encoder"
        raise ExportError(
            f"{weights} has a fixed vocabulary and takes no embeddings: leave {flag} out and choose with --classes, or "
            "pass weights that take words, such as yoloe-26s-seg.pt"
        )


def _take_classes(head: Any, rows: list[int]) -> None:
    """Keep these classes of a head whose words are part of its last layers, and give it a detector's layers.

    A prompt-free head's proposal filter is left out, as in Ultralytics' own exports: it only spares scores.
    """
    for prefix in ("one2one_", ""):
        boxes, scores = getattr(head, f"{prefix}cv2", None), getattr(head, f"{prefix}cv3", None)
        if boxes is None or scores is None:
            continue
        prompt_free = getattr(head, f"{prefix}lrpc", None)
        if prompt_free is None and hasattr(head, "lrpc"):
            # One vocabulary is made for the branch that is used.
            if prefix != ("one2one_" if head.end2end else ""):
                continue
            prompt_free = head.lrpc
        for level in range(head.nl):
            if prompt_free is not None:
                boxes[level].append(prompt_free[level].loc)
                scores[level].append(prompt_free[level].vocab)
            scores[level][-1] = _convolution_of(scores[level][-1], rows)


def _convolution_of(layer: Any, rows: list[int]) -> torch.nn.Conv2d:
    """A 1×1 convolution with these outputs of a linear layer or a 1×1 convolution."""
    weight = layer.weight.detach().reshape(layer.weight.shape[0], -1)[rows]
    made = torch.nn.Conv2d(weight.shape[1], len(rows), 1)
    made.weight.copy_(weight[:, :, None, None])
    assert made.bias is not None
    made.bias.copy_(layer.bias.detach()[rows])
    return made


def _encoded(network: Any, names: tuple[str, ...], encoder: Path, weights: str, notices: list[str]) -> torch.Tensor:
    """Embeddings [1, classes, width] as Ultralytics' get_text_pe makes them, with the user's text encoder."""
    expected = _encoder_of(network)
    if encoder.name != expected and encoder.name in ENCODERS.values():
        raise ExportError(
            f"--text-encoder {encoder.name} is not the one of {weights}, which was trained with {expected}"
        )
    if encoder.name != expected:
        notices.append(f"{weights} was trained with {expected}; {encoder.name} is taken for it")
    text_model = _text_models()
    with scratch_folder() as folder:
        # Under a name of ours: Ultralytics changes some, and fetches what it does not find.
        link = folder / f"encoder{encoder.suffix}"
        link.symlink_to(encoder.resolve())
        try:
            if isinstance(network, WorldModel):
                network.clip_model = text_model.CLIP(str(link), torch.device("cpu"))
            else:
                network.clip_model = text_model.MobileCLIPTS(torch.device("cpu"), weight=str(link))
            vectors: torch.Tensor = network.get_text_pe(list(names), cache_clip_model=True).clone().float()
        except (RuntimeError, ValueError, TypeError, KeyError, AttributeError, AssertionError, OSError) as exc:
            raise ExportError(
                f"--text-encoder {encoder} is not a text encoder that Ultralytics reads "
                f"({reason_from_error(exc, limit=160)}): pass {expected}"
            ) from exc
        finally:
            network.clip_model = None
    return vectors


def _text_models() -> ModuleType:
    """Ultralytics' text encoders, which take CLIP's tokenizer from the package clip."""
    try:
        clip = importlib.import_module("clip")
        if not hasattr(clip, "tokenize"):
            raise ImportError("another package called clip is installed")
        return importlib.import_module("ultralytics.nn.text_model")
    except ImportError as exc:
        raise ExportError(
            f"--text-encoder needs CLIP's tokenizer ({reason_from_error(exc)}): "
            "`pip install git+https://github.com/ultralytics/CLIP.git`, or pass --class-embeddings FILE.npz"
        ) from exc
