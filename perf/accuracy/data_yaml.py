"""A data.yaml as Ultralytics, Roboflow, CVAT and darknet's users have it: its classes, its pictures, their labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import yaml

from photofinish.errors import ConfigError
from photofinish.keypoints.layout import KeypointLayout, layout_of_count
from photofinish.perf.accuracy.label_files import is_file, text_from_file
from photofinish.pictures import image_paths_below, is_picture

SPLITS = ("val", "test", "train")
_MAX_ENTRIES = 1000
_MAX_BYTES = 1 << 20
_MAX_POINTS = 1000
_YAML_ERRORS = (yaml.YAMLError, ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError)
"""What PyYAML raises for documents that it cannot construct; only the first is its own."""


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """Without merge keys, whose nesting takes forever; a document that has one is refused."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Leave `<<` as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledPicture:
    """One picture and its label file, which need not exist: then the picture holds no objects."""

    image: Path
    labels: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class DataDocument:
    """What a data.yaml says. keypoints: of a pose data set, None of others. point_values: 2 or 3 numbers for each.

    missing: listed pictures that do not exist. notes: what was read otherwise than it is written.
    """

    class_names: tuple[str, ...]
    pictures: tuple[LabelledPicture, ...]
    keypoints: KeypointLayout | None
    point_values: int
    missing: tuple[str, ...]
    notes: tuple[str, ...]


def read_data_yaml(path: Path, *, splits: Sequence[str] = SPLITS, remedy: str = "") -> DataDocument:
    """The classes and pictures of the first of `splits`; ConfigError says what is wrong.

    remedy: what to do where it has none of them. Label files are expected for the usual splits only.
    """
    try:
        document = yaml.load(text_from_file(path, max_bytes=_MAX_BYTES), _Loader)
    except ConfigError as exc:
        raise ConfigError(f"--data {exc}") from exc
    except _YAML_ERRORS as exc:
        raise ConfigError(f"--data {path} cannot be read: {' '.join(str(exc).split())[:200]}") from exc
    if not isinstance(document, dict):
        raise ConfigError(f"--data {path} is not a data.yaml: expected the keys names and val")
    split = next((name for name in splits if document.get(name)), None)
    if split is None:
        keys = f"the key {splits[0]}" if len(splits) == 1 else f"one of the keys {', '.join(splits)}"
        raise ConfigError(f"--data {path} names no pictures: expected {keys}{remedy and f'; {remedy}'}")
    entries = document[split] if isinstance(document[split], list) else [document[split]]
    if not all(map(_is_scalar, entries)) or len(entries) > _MAX_ENTRIES:
        raise ConfigError(f"--data {path}: {split} must be a folder, a .txt list of pictures, or some of them")
    places = _Places(path, document.get("path"))
    images = [image for entry in entries for image in places.images(str(entry))]
    unique = sorted(set(images))
    if not unique and not places.missing:
        raise ConfigError(f"--data {path}: {split}: {', '.join(map(str, entries))[:200]} holds no pictures")
    pictures = tuple(LabelledPicture(image=image, labels=label_path(image)) for image in unique)
    if pictures and splits == SPLITS and not any(_exists(picture.labels.parent) for picture in pictures):
        raise ConfigError(
            f"--data {path}: no label folder {pictures[0].labels.parent}; expected labels/ beside images/, with one "
            ".txt per picture"
        )
    names = _class_names(path, document.get("names"))
    notes = list(places.notes)
    if count := len(images) - len(unique):
        notes.append(f"{count} pictures are listed twice and counted once")
    if isinstance(classes := document.get("nc"), int) and classes != len(names):
        notes.append(f"nc says {classes} classes, names lists {len(names)}; names counts")
    return DataDocument(
        class_names=names,
        pictures=pictures,
        keypoints=_keypoints(document),
        point_values=document["kpt_shape"][1] if _keypoints(document) else 0,
        missing=tuple(places.missing),
        notes=tuple(notes),
    )


def label_path(image: Path) -> Path:
    """`…/images/a/b.jpg` → `…/labels/a/b.txt`: the last folder called images counts, as in Ultralytics.

    A folder or suffix in capitals is found too. Without a folder of labels the file beside the picture counts, as
    darknet has it.
    """
    parts = list(image.parts)
    at = next((index for index in range(len(parts) - 2, -1, -1) if parts[index].lower() == "images"), None)
    choices = [image]
    if at is not None:
        choices = [Path(*parts[:at], name, *parts[at + 1 :]) for name in _in_each_case("labels", parts[at])]
        if not any(_exists(choice.parent) for choice in choices):
            choices.append(image)
    paths = [choice.with_suffix(suffix) for choice in choices for suffix in (".txt", ".TXT")]
    return next((path for path in paths if is_file(path)), paths[0])


def _in_each_case(name: str, like: str) -> tuple[str, ...]:
    return (name,) if like.islower() else (name, name.capitalize(), name.upper())


def _keypoints(document: dict[Any, Any]) -> KeypointLayout | None:
    """What `kpt_shape` and `kpt_names`, by class, tell; None where they tell nothing usable."""
    shape = document.get("kpt_shape")
    if not isinstance(shape, list) or len(shape) != 2 or not all(type(item) is int for item in shape):
        return None
    if not 0 < shape[0] < _MAX_POINTS or shape[1] not in (2, 3):
        return None
    names = document.get("kpt_names")
    if isinstance(names, dict):
        names = next(iter(names.values()), None)
    return layout_of_count(shape[0], names if isinstance(names, list) and all(map(_is_scalar, names)) else ())


def _is_scalar(value: object) -> bool:
    """Whether a value of the document is one word or number, not so long that it cannot be printed."""
    if isinstance(value, int):
        return value.bit_length() <= 64
    return not isinstance(value, list | dict | set | tuple | bytes | None)


def _class_names(path: Path, names: Any) -> tuple[str, ...]:
    if isinstance(names, dict):
        by_number = {str(key): value for key, value in names.items() if _is_scalar(key)}
        names = [by_number[str(index)] for index in range(len(names)) if str(index) in by_number]
        names = names if len(names) == len(by_number) else None
    if isinstance(names, list) and names and all(map(_is_scalar, names)):
        return tuple(str(name) for name in names)
    raise ConfigError(f"--data {path}: names must list the classes from 0 on, each with its name")


class _Places:
    """Where the pictures of a data.yaml are. Paths are relative to `path`, itself relative to the data.yaml."""

    def __init__(self, data_yaml: Path, root: object) -> None:
        self._data_yaml = data_yaml
        base = data_yaml.resolve().parent
        roots = [base / written for written in _spellings(str(root))] if root and _is_scalar(root) else []
        self._folders = tuple(dict.fromkeys((*roots, base, Path.cwd())))
        self.notes: list[str] = []
        self.missing: list[str] = []

    def images(self, entry: str) -> list[Path]:
        """Pictures of a folder, or those a .txt lists."""
        found = self._found(entry)
        if found == Path(found.anchor):
            raise ConfigError(f"--data {self._data_yaml}: {entry} is the whole file system; name a folder of pictures")
        if found.is_dir():
            try:
                return image_paths_below(found)
            except OSError as exc:
                raise ConfigError(f"--data {self._data_yaml}: {found} cannot be read: {exc.strerror}") from exc
        if found.suffix.lower() != ".txt" or not found.is_file():
            raise ConfigError(
                f"--data {self._data_yaml}: {found} is neither a folder of pictures nor a .txt list of them"
            )
        return self._listed(found)

    def _found(self, entry: str) -> Path:
        # Roboflow writes ../valid/images for the folder beside the data.yaml.
        spellings = dict.fromkeys((*_spellings(entry), *map(_without_parents, _spellings(entry))))
        tried = [folder / written for folder in self._folders for written in spellings]
        if found := _first_existing(tried):
            return found
        # A folder's own name says too little: most are called images.
        if found := _first_existing(place for place, count in _moved(entry, self._folders) if count > 1):
            self.notes.append(f"{entry} does not exist here; {found} was read")
            return found
        raise ConfigError(
            f"--data {self._data_yaml}: {tried[0]} does not exist; correct the key path or download the data"
        )

    def _listed(self, path: Path) -> list[Path]:
        """Pictures by a list, relative to it, to the working folder (darknet), or to a folder above the list."""
        folders = tuple(dict.fromkeys((path.parent, *self._folders, *path.parent.parents[:4])))
        listed, moved = [], 0
        for line in filter(None, (line.strip() for line in text_from_file(path).splitlines())):
            found = _first_file(folder / written for written in _spellings(line) for folder in folders)
            if found is None and (found := _first_file(place for place, _ in _moved(line, folders))):
                moved += 1
            if found is None:
                self.missing.append(f"{path} lists {line[:200]}, which does not exist")
            elif is_picture(found):
                listed.append(found)
        if moved:
            self.notes.append(f"{moved} pictures of {path.name} do not lie where it says; they were found below here")
        return listed


def _spellings(path: str) -> tuple[str, ...]:
    """As written, and with the separators of Windows turned."""
    return (path, path.replace("\\", "/")) if "\\" in path else (path,)


def _without_parents(path: str) -> str:
    while path.startswith("../"):
        path = path[3:].lstrip("/")
    return path or "."


def _moved(path: str, folders: Iterable[Path]) -> Iterator[tuple[Path, int]]:
    """Where a file of another machine may lie here: its last folders below each of ours, and how many; most first."""
    is_windows = "\\" in path or path[1:2] == ":"
    pure = PureWindowsPath(path) if is_windows else PurePosixPath(path)
    parts = [part for part in pure.parts[-8:] if part not in ("..", ".", pure.anchor)]
    for first in range(len(parts)):
        for folder in folders:
            yield folder / Path(*parts[first:]), len(parts) - first + (folder.name in parts[first - 1 : first])


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that is too long, or a folder that may not be looked into
        return False


def _first_existing(paths: Iterable[Path]) -> Path | None:
    return next((path for path in paths if _exists(path)), None)


def _first_file(paths: Iterable[Path]) -> Path | None:
    return next((path for path in paths if is_file(path)), None)
