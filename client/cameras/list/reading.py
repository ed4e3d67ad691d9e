"""The list of cameras from `cameras.toml`, or from a text file with one address a line.

```toml
[defaults]                  # any field of a camera
frames_per_s = 5

[[camera]]
name = "door"
url = "rtsp://10.0.0.5/live"
user = "admin"
password_env = "DOOR_PASSWORD"
```
A row that is wrong is one message, and leaves the others alone.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from photofinish.address.credentials import PASSWORD_VARIABLE, USER_VARIABLE
from photofinish.address.hiding import NETWORK_SCHEMES, host_of, is_network_address, public_address, rest_of
from photofinish.client.cameras.values.camera import MAX_NAME, Camera, Line, Zone, address_parts
from photofinish.errors import ConfigError, reason_from_error

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MAX_CAMERAS = 5000
MANY_PLACES = 4
_USUAL_SCHEMES = ("rtsp", "rtmp", "http", "https", "srt")
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+)(?::/+|//)", re.IGNORECASE)
_PLACE = re.compile(r"(\d+\.\d+\.\d+\.\d+|[\w.-]+:\d+)(/|$)|[^/]+@")
_Shape = TypeVar("_Shape", Zone, Line)
_FIELDS = {item.name for item in fields(Camera)}
_KEYS = _FIELDS | {"user_env", "password_env"}
_SWITCHES = ("tracks", "video")
_NUMBERS = ("frames_per_s", "min_confidence", "stall_s", "max_age_s", "priority")


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraList:
    """cameras: in the order of the file, each name once. problems: what is wrong with rows, each thing once, without
    secrets. wrong_rows: how many rows those are."""

    cameras: tuple[Camera, ...]
    problems: tuple[str, ...] = ()
    wrong_rows: int = 0


def cameras_from_file(path: Path, environment: Mapping[str, str] = os.environ) -> CameraList:
    """The list. Raises ConfigError when the file as a whole cannot be read."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else "it is not text in UTF-8"
        raise ConfigError(
            f"the list of cameras {path} cannot be read: {reason}; give a text file with one address a line, or a "
            "cameras.toml"
        ) from exc
    rows = _rows_from_toml(text, path) if path.suffix.lower() == ".toml" else _rows_from_lines(text)
    return cameras_from_rows(rows, environment)


def cameras_from_rows(rows: Iterable[tuple[str, Mapping[str, Any]]], environment: Mapping[str, str]) -> CameraList:
    """Cameras from (where it stands, fields). Names that are not given are made of the address."""
    cameras: dict[str, Camera] = {}
    problems: dict[str, list[str]] = {}
    for where, row in rows:
        try:
            camera = camera_from_row(row, environment)
            if camera.name in cameras and "name" not in row:
                camera = _numbered(camera, cameras)
            if camera.name in cameras:
                raise ConfigError(
                    f"the name {camera.name!r} is taken by a row above; give each camera a name of its own"
                )
            if len(cameras) >= MAX_CAMERAS:
                raise ConfigError(f"more than {MAX_CAMERAS} cameras are for more than one machine; split the list")
        except ConfigError as exc:
            problems.setdefault(str(exc), []).append(where)
        else:
            cameras[camera.name] = camera
    said = tuple(f"{_places(where)}: {problem}" for problem, where in problems.items())
    count = sum(len(where) for where in problems.values())
    return CameraList(cameras=tuple(cameras.values()), problems=said, wrong_rows=count)


def camera_from_row(row: Mapping[str, Any], environment: Mapping[str, str]) -> Camera:
    """One camera. Raises ConfigError that names what is wrong, and no secret."""
    if unknown := sorted(set(row) - _KEYS):
        nearest = difflib.get_close_matches(unknown[0], _KEYS, 1)
        meant = f", did you mean {nearest[0]}?" if nearest else f"; a camera has {', '.join(sorted(_KEYS))}"
        raise ConfigError(f"unknown field {', '.join(unknown)}{meant}")
    if not isinstance(row.get("url"), str):
        raise ConfigError("a camera needs a url, as text")
    url, user, password = address_parts(row["url"].strip())
    if begun := _wrong_scheme(url):
        usual = (*difflib.get_close_matches(begun.rstrip(":/").lower(), _USUAL_SCHEMES, 1), "rtsp")[0]
        known = "://, ".join(NETWORK_SCHEMES)
        raise ConfigError(f"its address begins with {begun}; did you mean {usual}://? {known}:// are read")
    if _lacks_scheme(url):
        raise ConfigError("the address of a camera begins with rtsp://, or names a file that is there; correct it")
    values: dict[str, Any] = {"name": name_from_address(url), **row, "url": url}
    for key, given in (("user", user), ("password", password)):
        values[key] = _secret(key, given, row, environment, is_network=is_network_address(url))
        values.pop(f"{key}_env", None)
    for key in _NUMBERS:
        if key in values:
            values[key] = _number(key, values[key])
    for key in ("name", "variant", "transport", "decode"):
        if key in values and not isinstance(values[key], str):
            raise ConfigError(f"{key} must be text, got {values[key]!r}")
    for key in _SWITCHES:
        if not isinstance(values.get(key, False), bool):
            raise ConfigError(f"{key} must be true or false, got {values[key]!r}")
    classes = values.get("classes", ())
    if not isinstance(classes, list | tuple) or not all(isinstance(item, str) for item in classes):
        raise ConfigError(f"classes must be a list of names, got {classes!r}")
    values["zones"] = _shapes(Zone, "zones", values.get("zones", ()))
    values["lines"] = _shapes(Line, "lines", values.get("lines", ()))
    return Camera(**{**values, "classes": tuple(classes)})


def _number(key: str, given: Any) -> float | int:
    """Whole for a priority. Raises ConfigError; a number may be too large for a float."""
    if isinstance(given, int | float) and not isinstance(given, bool):
        with contextlib.suppress(OverflowError):
            number = float(given)
            if key != "priority":
                return number
            if number.is_integer():
                return int(given)
    kind = "a whole number" if key == "priority" else "a number"
    raise ConfigError(f"{key} must be {kind}, got {str(given)[:20]}")


def name_from_address(url: str) -> str:
    """A name for a camera that has none: host and path, or the file."""
    shown = public_address(url)
    if not is_network_address(url):
        return (Path(shown).name or shown)[:MAX_NAME] or "camera"
    return rest_of(shown).strip("/")[-MAX_NAME:] or host_of(url) or "camera"


def _wrong_scheme(url: str) -> str:
    """How it begins where that is no scheme that is read: `rtps://`, `rtsp:/`, `rtsp//`; "" of anything else."""
    begin = _SCHEME.match(url)
    return begin[0] if begin and not is_network_address(url) and begin[1] != "file" and not Path(url).exists() else ""


def _places(where: Sequence[str]) -> str:
    """Where the same is wrong: of many places, as of a default, the first one names them."""
    return ", ".join(where) if len(where) < MANY_PLACES else f"{where[0]} and {len(where) - 1} more"


def _lacks_scheme(url: str) -> bool:
    """Whether it was meant to be a camera of the network: `10.0.0.5/live`, `door:554`, `user:password@door`."""
    return not is_network_address(url) and bool(_PLACE.match(url)) and not Path(url).exists()


def _secret(key: str, given: str, row: Mapping[str, Any], environment: Mapping[str, str], *, is_network: bool) -> str:
    """User or password: of the row, of the variable that the row names, of the address, of the variable for all."""
    variable = row.get(f"{key}_env")
    ways = [
        f"{key}" if key in row else "",
        f"{key}_env" if variable is not None else "",
        "its address" if given else "",
    ]
    named = [way for way in ways if way]
    if len(named) > 1:
        raise ConfigError(f"the {key} is given by {' and by '.join(named)}; give it in one place only")
    if key in row:
        if not isinstance(row[key], str):
            raise ConfigError(f"{key} must be text; a number stands in quotes")
        return str(row[key])
    if variable is not None:
        if not isinstance(variable, str):
            raise ConfigError(f"{key}_env must be the name of a variable, as text")
        if variable not in environment:
            raise ConfigError(f"{key}_env names {variable}, and the environment has no such variable; export it first")
        return environment[variable]
    if given or not is_network:
        return given
    return environment.get(USER_VARIABLE if key == "user" else PASSWORD_VARIABLE, "")


def _shapes(kind: Callable[..., _Shape], key: str, rows: Any) -> tuple[_Shape, ...]:
    try:
        return tuple(
            kind(name=str(row["name"]), points_xy=tuple((float(x), float(y)) for x, y in row["points"])) for row in rows
        )
    except (KeyError, TypeError, ValueError, OverflowError) as exc:
        raise ConfigError(f'{key} must be a list of {{name = "…", points = [[x, y], …]}}') from exc


def _numbered(camera: Camera, taken: Mapping[str, Camera]) -> Camera:
    number = 2
    while (name := f"{camera.name[: MAX_NAME - 5]} {number}") in taken:
        number += 1
    return replace(camera, name=name)


def _rows_from_toml(text: str, path: Path) -> list[tuple[str, Mapping[str, Any]]]:
    try:
        document = tomllib.loads(text)
    except RecursionError as exc:
        raise ConfigError(f"{path} is no list of cameras: it has brackets within brackets without an end") from exc
    except ValueError as exc:  # Python's own for a number of thousands of digits
        hint = "; a camera's row begins with [[camera]], in two brackets" if "('camera',)" in str(exc) else ""
        raise ConfigError(f"{path} is no TOML: {_without_line(reason_from_error(exc))}{hint}") from exc
    if unknown := sorted(set(document) - {"camera", "defaults"}):
        raise ConfigError(f"{path}: unknown part {', '.join(unknown)}; it has [defaults] and [[camera]] rows")
    defaults, rows = document.get("defaults", {}), document.get("camera", [])
    if not isinstance(defaults, dict) or not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ConfigError(f"{path}: write [defaults] once and [[camera]], in two brackets, for each camera")
    return [
        (
            f"camera {number} ({row['name']})" if isinstance(row.get("name"), str) else f"camera {number}",
            {**defaults, **row},
        )
        for number, row in enumerate(rows, 1)
    ]


def _without_line(reason: str) -> str:
    """A parser's complaint up to the place; what stands there may be a password."""
    return reason.split("\n", 1)[0]


def _rows_from_lines(text: str) -> list[tuple[str, Mapping[str, Any]]]:
    """Each line an address, with or without a name before it: `door rtsp://10.0.0.5/live`."""
    rows: list[tuple[str, Mapping[str, Any]]] = []
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        name, _, rest = line.partition(" ")
        if is_network_address(rest.strip()):
            rows.append((f"line {number}", {"name": name, "url": rest.strip()}))
        else:
            rows.append((f"line {number}", {"url": line}))
    return rows
