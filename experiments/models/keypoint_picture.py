"""Poses and faces as two sides draw them: the picture of docs/faces.md, from photos that anybody may show.

    photofinish export --weights yolov8n-pose.pt --model-name pose --repository keypoints --no-gate
    photofinish export --weights yunet_n_640_640.onnx --model-name yunet --repository keypoints --no-gate
    python -m experiments.models.keypoint_picture --repository keypoints --persons pose --faces yunet \
        --out docs/images/keypoints.jpg astronaut.png camera.png people.mp4#690 people.mp4#858 people.mp4#1350

One embedded server has all four variants. Each side looks with its own variant of both models, as `detect --crops`
does: persons with their poses in the picture, then a face in each person's box. The textbook's are above, the fastest
here below. A tile is cut out of its picture around the best person, and boxes and points are drawn on it in its size.

The first two are photos of the package scikit-image, in the public domain; the film is `one-by-one-person-detection` of
intel-iot-devkit/sample-videos, CC BY 4.0.

Backs: docs/faces.md, "Above each side's name stand five pictures as it sees them"
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click
import cv2
import numpy as np
import numpy.typing as npt

from photofinish.client.choosing.crops import CropChoice
from photofinish.client.choosing.preference import baselines, candidates
from photofinish.client.detect.drawing import draw_parts
from photofinish.client.pipeline.cropping import moved
from photofinish.client.pipeline.frame_result import FrameResult
from photofinish.client.pipeline.opening import open_pipeline
from photofinish.client.sources.opening import open_source
from photofinish.detections import Detections, detections_to_target
from photofinish.frame import Frame
from photofinish.letterbox import Letterbox
from photofinish.model_card import ModelCard
from photofinish.server.triton.embedded import EmbeddedServer

TILE_WH = (260, 340)
GAP, TITLE_HEIGHT = 4, 26
BACKGROUND, INK = (255, 255, 255), (40, 40, 40)
MARGIN = 0.08
"""Of the person's box, around it."""
MIN_CONFIDENCE = 0.36
"""YuNet's own usual threshold of 0.6, by its training code's score; persons lie far above."""
SCALE = 0.75
"""Of lines and letters, as `draw_detections` has it."""
JPEG_QUALITY = 84


def frame_of(spec: str) -> Frame:
    """The picture of a file, or `film.mp4#690`, a frame of a film."""
    path, _, number = spec.partition("#")
    with open_source(path) as source:
        found = next(itertools.islice(source.frames(), int(number or 0), None), None)
    if found is None:
        raise SystemExit(f"{spec} has no such frame")
    return found


def cut_around(size_wh: tuple[int, int], box_xyxy: npt.NDArray[np.float32]) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the smallest part of a picture that has a tile's shape and shows the box whole,
    as far as the picture goes."""
    x1, y1, x2, y2 = (float(side) for side in box_xyxy)
    width, height = (x2 - x1) * (1 + 2 * MARGIN), (y2 - y1) * (1 + 2 * MARGIN)
    shape = TILE_WH[0] / TILE_WH[1]
    height = min(max(height, width / shape), size_wh[1], size_wh[0] / shape)
    width = height * shape
    left = min(max((x1 + x2 - width) / 2, 0), size_wh[0] - width)
    top = min(max((y1 + y2 - height) / 2, 0), size_wh[1] - height)
    return round(left), round(top), round(left + width), round(top + height)


def tile_of(result: FrameResult, cut: tuple[int, int, int, int]) -> npt.NDArray[np.uint8]:
    """That part of the picture in a tile's size, with what lies in it."""
    left, top, right, bottom = cut
    way = cv2.INTER_AREA if bottom - top > TILE_WH[1] else cv2.INTER_CUBIC
    tile = cv2.resize(result.frame.image_hwc_bgr[top:bottom, left:right], TILE_WH, interpolation=way)
    scale = Letterbox(source_wh=(right - left, bottom - top), target_wh=TILE_WH)

    def shown(found: Detections) -> Detections:
        return detections_to_target(moved(found, (-left, -top)), scale)

    parts = [(shown(part.detections), part.class_names) for part in result.parts]
    return draw_parts(np.asarray(tile, np.uint8), parts, scale=SCALE)


def row_of(title: str, tiles: Sequence[npt.NDArray[np.uint8]]) -> npt.NDArray[np.uint8]:
    """Tiles side by side, and whose they are below them."""
    gap = np.full((TILE_WH[1], GAP, 3), BACKGROUND, np.uint8)
    pictures = np.hstack([part for tile in tiles for part in (tile, gap)][:-1])
    strip = np.full((TITLE_HEIGHT, pictures.shape[1], 3), BACKGROUND, np.uint8)
    cv2.putText(strip, title, (2, TITLE_HEIGHT - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.55, INK, 1, cv2.LINE_AA)
    return np.vstack([pictures, strip])


def side_title(word: str, cards: Sequence[ModelCard]) -> str:
    """`Textbook: pose by pytorch FP32, yunet by onnxruntime FP32`."""
    return f"{word}: " + ", ".join(f"{card.model} by {card.backend} {card.precision.upper()}" for card in cards)


def main() -> None:
    """Look, draw, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", nargs="+", metavar="PICTURE|FILM#FRAME")
    parser.add_argument("--repository", type=Path, required=True)
    parser.add_argument("--persons", required=True, help="a model with poses")
    parser.add_argument("--faces", required=True, help="a model with landmarks")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    from photofinish.export.publishing.cards import card_from_directory
    from photofinish.server.triton.run_folder import models_in

    cards = {
        name: card
        for name in models_in(options.repository)
        if (card := card_from_directory(options.repository / name)) is not None
    }
    of_model = [{name: card for name, card in cards.items() if card.model == model}
                for model in (options.persons, options.faces)]  # fmt: skip
    if not all(of_model):
        raise SystemExit(f"{options.repository} lacks {options.persons} or {options.faces}; export them first")
    sides = {
        "Textbook": [baselines(of)[0] for of in of_model],
        "Fastest here": [candidates(of)[0] for of in of_model],
    }
    frames = [replace(frame_of(spec), index=number) for number, spec in enumerate(options.pictures)]
    rows: list[npt.NDArray[np.uint8]] = []
    cuts: list[tuple[int, int, int, int]] = []
    served = tuple(dict.fromkeys(name for names in sides.values() for name in names))
    with EmbeddedServer(options.repository, models=served) as server:
        for word, (persons, faces) in sides.items():
            with open_pipeline(
                server.endpoint.grpc_url,
                persons,
                crops=[CropChoice(model=faces)],
                min_confidence=MIN_CONFIDENCE,
                timeout_s=60,
            ) as pipeline:
                results = [pipeline.process(frame) for frame in frames]
            for spec, result in zip(options.pictures, results, strict=True):
                told = ", ".join(f"{part.name} {part.detections.confidence.round(2).tolist()}" for part in result.parts)
                click.echo(f"{word}, {spec}: {told}", err=True)
                if not len(result.detections):
                    raise SystemExit(f"nobody is seen in {spec}; give another picture")
            cuts = cuts or [cut_around(item.frame.size_wh, item.detections.boxes_xyxy[0]) for item in results]
            tiles = [tile_of(result, cut) for result, cut in zip(results, cuts, strict=True)]
            rows.append(row_of(side_title(word, [cards[persons], cards[faces]]), tiles))
    cv2.imwrite(str(options.out), np.vstack(rows), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    click.echo(options.out)


if __name__ == "__main__":
    main()
