"""Boxes with class and confidence on a picture."""

from __future__ import annotations

import colorsys
from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from photofinish.detections import Detections
from photofinish.keypoints.layout import VISIBLE, Keypoints

GOLDEN_ANGLE = 0.381966
"""Share of the colour circle between neighbouring classes: consecutive ids look as different as possible."""
FONT = cv2.FONT_HERSHEY_SIMPLEX
REFERENCE_SIDE = 720
"""Length of the shorter side at which lines are 2 px and text is 0.55 high; other sizes scale."""
LEFT_BGR, RIGHT_BGR, MIDDLE_BGR = (86, 180, 233)[::-1], (230, 159, 0)[::-1], (240, 240, 240)
"""Of keypoints: sky blue and orange of Okabe and Ito's palette, told apart with any colour vision."""
SMALL_SIDE = 150
"""Keypoints of a box with a shorter side than this are drawn smaller."""


@lru_cache(maxsize=1024)
def class_colour_bgr(class_id: int) -> tuple[int, int, int]:
    """A distinct, fully saturated colour for a class, blue first."""
    hue = (0.58 + class_id * GOLDEN_ANGLE) % 1
    value = (1.0, 0.82)[class_id // 8 % 2]
    red, green, blue = (round(255 * part) for part in colorsys.hsv_to_rgb(hue, 0.85, value))
    return blue, green, red


def class_name(class_names: Sequence[str], class_id: int) -> str:
    """What a class is called; `class 7` where the model has no name for it."""
    return class_names[class_id] if 0 <= class_id < len(class_names) else f"class {class_id}"


def draw_detections(
    image_hwc_bgr: npt.NDArray[np.uint8],
    detections: Detections,
    class_names: Sequence[str],
    *,
    scale: float | None = None,
    first_colour: int = 0,
    labels_below: bool = False,
    labels_only: bool = False,
) -> npt.NDArray[np.uint8]:
    """A new picture with every box, its class name and its confidence, and its visible keypoints with their skeleton;
    the best box lies on top.

    scale: size of lines and text, 1.0 is made for 720p; None takes it from the picture's size. first_colour: which
    colour class 0 has. labels_below: names stand at the foot of their boxes, where another model's stand above.
    labels_only: without the boxes, which are another model's and drawn already.
    """
    picture = image_hwc_bgr.copy()
    if scale is None:
        scale = max(min(picture.shape[:2]) / REFERENCE_SIDE, 0.5)
    for index in range(len(detections))[::-1]:
        class_id = int(detections.class_id[index])
        # OpenCV has no other letters, and crashes on the half characters that a model's metadata may hold.
        label = f"{class_name(class_names, class_id)} {detections.confidence[index]:.2f}".encode(
            "ascii", "replace"
        ).decode()
        colour_bgr = class_colour_bgr(first_colour + class_id)
        box_xyxy = detections.boxes_xyxy[index]
        if not labels_only:
            x1, y1, x2, y2 = (round(float(side)) for side in box_xyxy)
            cv2.rectangle(picture, (x1, y1), (x2, y2), colour_bgr, max(round(2 * scale), 1), cv2.LINE_AA)
        _draw_label(picture, box_xyxy, label, colour_bgr, scale, labels_below)
    if detections.keypoints:
        draw_keypoints(picture, detections.keypoints, detections.boxes_xyxy, scale=scale)
    return picture


def draw_parts(
    image_hwc_bgr: npt.NDArray[np.uint8],
    parts: Iterable[tuple[Detections, Sequence[str]]],
    *,
    scale: float | None = None,
    labels_only: Collection[int] = (),
) -> npt.NDArray[np.uint8]:
    """A new picture with what several models found, each given with its class names; the last one's lies on top.

    Every model has colours of its own, and every second one its names at the foot of the boxes: two models that find
    the same object would write over each other. scale: as `draw_detections` has it. labels_only: numbers of the parts
    that name another one's boxes.
    """
    picture, first_colour = image_hwc_bgr, 0
    for number, (detections, class_names) in enumerate(parts):
        picture = draw_detections(
            picture,
            detections,
            class_names,
            scale=scale,
            first_colour=first_colour,
            labels_below=number % 2 == 1 or number in labels_only,
            labels_only=number in labels_only,
        )
        first_colour += len(class_names)
    return picture


def draw_keypoints(
    picture: npt.NDArray[np.uint8], keypoints: Keypoints, boxes_xyxy: npt.NDArray[np.float32], *, scale: float
) -> None:
    """Draw the visible points and the lines between them, the best detection on top. boxes_xyxy: (n, 4), theirs.

    Left and right have a colour each where the names tell them; lines and points grow with their box.
    """
    colours = [_side_colour(name) for name in keypoints.layout.names]
    for index in range(len(keypoints))[::-1]:
        x1, y1, x2, y2 = (float(side) for side in boxes_xyxy[index])
        # A face of 40 pixels would vanish below points that suit a person.
        size = min(scale, max(min(x2 - x1, y2 - y1), 1.0) / SMALL_SIDE)
        points = keypoints.xyv[index]
        shown = points[:, 2] >= VISIBLE
        places = [_place(x, y, picture.shape) for x, y, _ in points.tolist()]
        for first, second in keypoints.layout.skeleton:
            if shown[first] and shown[second]:
                colour = colours[first] if colours[first] == colours[second] else MIDDLE_BGR
                cv2.line(picture, places[first], places[second], colour, max(round(3 * size), 1), cv2.LINE_AA)
        for number in np.flatnonzero(shown).tolist():
            radius = max(round(4 * size), 1)
            cv2.circle(picture, places[number], radius + 1, (0, 0, 0), cv2.FILLED, cv2.LINE_AA)
            cv2.circle(picture, places[number], radius, colours[number], cv2.FILLED, cv2.LINE_AA)


def _place(x: float, y: float, shape: tuple[int, ...]) -> tuple[int, int]:
    """A point in whole pixels. A wild one stays near the picture: OpenCV takes no more than 32 bits."""
    reach = 4 * max(shape[:2])
    return round(min(max(x, -reach), reach)), round(min(max(y, -reach), reach))


def _side_colour(name: str) -> tuple[int, int, int]:
    words = name.lower().replace("-", "_").split("_")
    if "left" in words:
        return LEFT_BGR
    return RIGHT_BGR if "right" in words else MIDDLE_BGR


def _draw_label(
    picture: npt.NDArray[np.uint8],
    box_xyxy: npt.NDArray[np.float32],
    label: str,
    colour_bgr: tuple[int, int, int],
    scale: float,
    label_below: bool,
) -> None:
    thickness = max(round(2 * scale), 1)
    font_scale = 0.55 * scale
    x1, y1, _, y2 = (round(float(side)) for side in box_xyxy)
    text_thickness = max(round(1.2 * scale), 1)
    (text_w, text_h), descent = cv2.getTextSize(label, FONT, font_scale, text_thickness)
    margin = max(round(3 * scale), 2)
    plate_w, plate_h = text_w + 2 * margin, text_h + descent + 2 * margin
    height, width = picture.shape[:2]
    left = min(max(x1 - thickness // 2, 0), max(width - plate_w, 0))
    top = _plate_below(y2, plate_h, height) if label_below else _plate_top(y1, y2, plate_h, height)
    cv2.rectangle(picture, (left, top), (left + plate_w, top + plate_h), colour_bgr, cv2.FILLED)
    blue, green, red = colour_bgr
    is_light = 0.114 * blue + 0.587 * green + 0.299 * red > 140
    ink = (0, 0, 0) if is_light else (255, 255, 255)
    origin = (left + margin, top + margin + text_h)
    cv2.putText(picture, label, origin, FONT, font_scale, ink, text_thickness, cv2.LINE_AA)


def _plate_top(y1: int, y2: int, plate_h: int, height: int) -> int:
    """Above the box, else below it, else inside: a label must not cover a small object."""
    lowest = max(height - plate_h, 0)
    if y1 >= plate_h:
        return min(y1 - plate_h, lowest)
    if y2 <= lowest:
        return max(y2, 0)
    return min(max(y1, 0), lowest)


def _plate_below(y2: int, plate_h: int, height: int) -> int:
    """Below the box, else inside at its foot: above is another label's place."""
    return max(min(y2, height - plate_h), 0)
