"""What a detector loses by the GPU's letterbox: mAP of the same pictures through the kernel and through the CPU path.

Backs: docs/cameras.md, "of the mAP is kept with the kernel's pictures"

The kernel's own source runs on the CPU, on NV12 of labelled photos (cut to even sides, as H.264 has them); the CPU path
converts the same frames by FFmpeg's scaler and OpenCV. One ONNX file answers both.

    python -m experiments.cpu.letterbox_map --directory STAGING/model_onnx_fp32 --data data.yaml --out FILE.json
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from photofinish.client.cameras.decode.nv12.building import compiled_kernel
from photofinish.client.cameras.decode.nv12.job import Colours, job_from_picture
from photofinish.client.sources.converting import BgrConverter
from photofinish.client.triton.tensors import write_input
from photofinish.detections import Detections
from photofinish.errors import ConfigError
from photofinish.export.publishing.cards import card_from_directory
from photofinish.heads import detections_from_output
from photofinish.letterbox import Letterbox
from photofinish.model_card import ModelCard
from photofinish.perf.accuracy.data import in_dataset_classes, map_classes
from photofinish.perf.accuracy.figures import figures_from_truth
from photofinish.perf.accuracy.labels import LabelledDataset

Image = npt.NDArray[np.uint8]
MIN_CONFIDENCE = 0.001


@dataclass(slots=True)
class LetterboxSide:
    """What one way found, picture by picture."""

    found: list[Detections] = field(default_factory=list)


@click.command()
@click.option("--directory", type=click.Path(path_type=Path, exists=True), required=True, help="Of an ONNX variant.")
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True, help="A data.yaml.")
@click.option("--limit", default=128, show_default=True, help="Pictures.")
@click.option("--out", type=click.Path(path_type=Path), required=True)
def main(directory: Path, data: Path, limit: int, out: Path) -> None:
    """Both mAPs and how far the pictures are apart."""
    card = card_from_directory(directory)
    if card is None:
        raise ConfigError(f"{directory} holds no variant of ours")
    dataset = LabelledDataset(data, limit=limit)
    classes = map_classes(dataset, card.class_names, weights=str(directory))
    cpu, gpu = LetterboxSide(), LetterboxSide()
    truth, sizes, worst, changed = [], [], 0, 0.0
    infer = _model(directory / "1" / "model.onnx")
    for image, objects in _pictures(dataset):
        by_cpu, by_kernel, letterbox = _both(image, card)
        distance = np.abs(by_cpu.astype(np.int16) - by_kernel.astype(np.int16))
        worst, changed = max(worst, int(distance.max())), changed + float((distance > 0).mean())
        for side, pixels in ((cpu, by_cpu), (gpu, by_kernel)):
            rows = detections_from_output(infer(pixels), card, letterbox, min_confidence=MIN_CONFIDENCE)
            side.found.append(in_dataset_classes(rows, classes))
        truth.append(objects)
        sizes.append((image.shape[1], image.shape[0]))
    names = dataset.class_names
    figures = {name: figures_from_truth(side.found, truth, sizes, names) for name, side in (("cpu", cpu), ("gpu", gpu))}
    record: dict[str, Any] = {
        "model": card.variant,
        "data": dataset.name,
        "pictures": len(truth),
        "cpu_map50_95": figures["cpu"].map50_95,
        "kernel_map50_95": figures["gpu"].map50_95,
        "kept": figures["gpu"].map50_95 / figures["cpu"].map50_95,
        "worst_grey_levels": worst,
        "changed_share": changed / len(truth),
    }
    out.write_text(json.dumps(record, indent=1) + "\n")
    click.echo(json.dumps(record, indent=1))


def _pictures(dataset: LabelledDataset) -> Iterator[tuple[Image, Detections]]:
    for frame in dataset.frames():
        if frame.truth is not None:
            height, width = (side - side % 2 for side in frame.image_hwc_bgr.shape[:2])
            yield np.ascontiguousarray(frame.image_hwc_bgr[:height, :width]), frame.truth


def _both(image: Image, card: ModelCard) -> tuple[Image, Image, Letterbox]:
    """The picture through the CPU path and through the kernel, and its letterbox."""
    width, height = card.input_wh
    frame = VideoReformatter().reformat(VideoFrame.from_ndarray(image, format="bgr24"), format="yuv420p")
    by_cpu, by_kernel = (np.zeros((height, width, 3), np.uint8) for _ in range(2))
    letterbox = write_input(BgrConverter(threads=1).image_from_frame(frame), "frames", card.input_wh, by_cpu)
    planes = [np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size) for plane in frame.planes]
    luma = np.ascontiguousarray(planes[0][: frame.height, : frame.width])
    chroma = np.empty((frame.height // 2, frame.width), np.uint8)
    chroma[:, ::2], chroma[:, 1::2] = (plane[: frame.height // 2, : frame.width // 2] for plane in planes[1:3])
    compiled_kernel()(
        job_from_picture(
            letterbox,
            Colours(),
            luma=luma.ctypes.data,
            chroma=chroma.ctypes.data,
            out=by_kernel.ctypes.data,
            luma_pitch=luma.strides[0],
            chroma_pitch=chroma.strides[0],
        )
    )
    return by_cpu, by_kernel, letterbox


def _model(path: Path) -> Any:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda pixels: session.run(None, {name: pixels[None]})[0][0]


if __name__ == "__main__":
    main()
