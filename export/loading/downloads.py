"""Official Ultralytics weights by name, fetched into the user's cache where there is internet."""

from __future__ import annotations

import http.client
import os
import shutil
import urllib.request
from pathlib import Path

from photofinish.errors import ExportError
from photofinish.wheels import user_cache_dir

RELEASE = "https://github.com/ultralytics/assets/releases/download"
OFFICIAL_WEIGHTS = {
    **{f"yolo26{size}.pt": f"{RELEASE}/v8.4.0/yolo26{size}.pt" for size in "nsmlx"},
    **{f"yolo11{size}.pt": f"{RELEASE}/v8.3.0/yolo11{size}.pt" for size in "nsmlx"},
    **{f"yolov10{size}.pt": f"{RELEASE}/v8.3.0/yolov10{size}.pt" for size in "nsmblx"},
    **{f"yolov8{size}.pt": f"{RELEASE}/v8.3.0/yolov8{size}.pt" for size in "nsmlx"},
    **{f"yolov5{size}u.pt": f"{RELEASE}/v8.3.0/yolov5{size}u.pt" for size in "nsmlx"},
}
"""Name to address."""
TIMEOUT_S = 10.0


def downloaded_weights(name: str, *, urls: dict[str, str] | None = None, cache: Path | None = None) -> Path:
    """The file of official weights, fetched on the first call. ExportError, with what to do, where it cannot be."""
    url = (urls or OFFICIAL_WEIGHTS)[name]
    folder = cache or user_cache_dir() / "weights"
    target = folder / name
    if target.is_file():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{name}.{os.getpid()}"
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as response, partial.open("wb") as stream:
            shutil.copyfileobj(response, stream)
            expected, written = response.headers.get("Content-Length"), stream.tell()
        if expected is not None and int(expected) != written:  # a connection that breaks off raises nothing
            raise OSError(f"the connection broke off after {written} of {expected} bytes; try again")
        partial.replace(target)
    except (OSError, http.client.HTTPException) as exc:
        raise ExportError(
            f"{name} is not here and cannot be fetched from {url.split('/')[2]} ({exc}); copy the file to this machine "
            f"and pass its path, or pass {Path(name).stem.removesuffix('u')}.yaml for an untrained model, or demo"
        ) from exc
    finally:
        partial.unlink(missing_ok=True)
    return target
