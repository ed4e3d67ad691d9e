"""What the options of an export say about its weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from photofinish.errors import ConfigError
from photofinish.export.loading.class_names import class_names_from_file
from photofinish.export.loading.kinds import BOXES_ONLY
from photofinish.export.loading.vocabulary.words import GivenWords
from photofinish.model_card import GivenHead


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the user says about the weights; all but boxes_only and words about an ONNX file.

    head: its layout, None leaves it to its shape. class_names: instead of the file's own, () leaves those.
    data_names: of the labelled pictures; taken where nobody else names the classes and their number agrees.
    names_file: where class_names stand. boxes_only: leave masks and keypoints out. words: the classes of
    open-vocabulary weights, None leaves them their own.
    """

    head: GivenHead | None = None
    class_names: tuple[str, ...] = ()
    data_names: tuple[str, ...] = ()
    names_file: Path | None = None
    boxes_only: bool = False
    words: GivenWords | None = None

    @property
    def options(self) -> list[tuple[object, ...]]:
        """The options that say so again, with their values."""
        values: list[tuple[object, ...]] = [("--head", self.head), ("--names", self.names_file)]
        words = self.words.options if self.words else []
        return [*(item for item in values if item[1]), *words, *([(BOXES_ONLY,)] if self.boxes_only else [])]

    @property
    def settings(self) -> dict[str, object]:
        """What makes an artifact another one, for its fingerprint; {} where nothing is told."""
        values = {
            "head": self.head,
            "class_names": self.class_names,
            "data_names": self.data_names,
            "boxes_only": self.boxes_only,
            "words": self.words.sha256 if self.words else "",
        }
        return {key: value for key, value in values.items() if value}


def told_from_options(
    weights: str,
    head: GivenHead | None,
    names_file: Path | None,
    data: Path | None,
    *,
    boxes_only: bool = False,
    words: GivenWords | None = None,
) -> Told:
    """What `--head`, `--names`, `--data` and `--boxes-only` say; words: what the words' options say.

    data: labelled pictures, whose names serve where no others are told. Raises ConfigError where the weights are no
    ONNX file and know head and names themselves, or names cannot be read.
    """
    if not weights.lower().endswith(".onnx"):
        if flags := [flag for flag, value in (("--head", head), ("--names", names_file)) if value]:
            raise ConfigError(
                f"{' and '.join(flags)} {'is' if len(flags) == 1 else 'are'} for .onnx files; {weights} has its own: "
                "leave the option out"
            )
        return Told(boxes_only=boxes_only, words=words)
    return Told(
        head=head,
        boxes_only=boxes_only,
        class_names=class_names_from_file(names_file, "--names") if names_file else (),
        names_file=names_file,
        data_names=class_names_from_file(data, "--data") if data and not names_file else (),
    )
