"""The frames contract in PyTorch: uint8 pictures in, detection rows or scores out."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from photofinish.detections import MAX_ROWS, ROW_WIDTH
from photofinish.export.graph.source import ModelSource
from photofinish.keypoints.layout import columns_with_visibility


class FramesDetector(nn.Module):
    """`frames` UINT8 [N,H,W,3] RGB → `detections` FP32 [N,300,6 + points], best first, unused rows with confidence 0.

    points: columns of keypoints, at the end of the raw output and of the rows. Nothing in it depends on the device it
    was traced on, and every shape but N is fixed.
    """

    def __init__(self, network: nn.Module, *, head: str, points: int = 0) -> None:
        super().__init__()
        self.network = network
        self.head = head
        self.points = points

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Rows (n, 300, 6 + points) in letterboxed pixels."""
        return self.rows_from_raw(self.network(images_from_frames(frames)))

    def rows_from_raw(self, raw: torch.Tensor) -> torch.Tensor:
        """Rows (n, 300, 6 + points) from the network's raw output."""
        return padded_rows(raw if self.head == "rows" else rows_from_yolo_raw(raw, self.points))


class FramesClassifier(nn.Module):
    """`frames` UINT8 [N,H,W,3] RGB → `scores` FP32 [N,classes]."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Scores (n, classes) that sum to 1."""
        scores: torch.Tensor = self.network(images_from_frames(frames))
        return scores


def frames_network_from_source(source: ModelSource, *, precision: str = "fp32") -> nn.Module:
    """The source's network wrapped in the frames contract, in eval mode. precision: fp32 or fp16 (of its layers)."""
    network = source.expect_network()
    if precision == "fp16" and source.make_fp16_network:
        network = source.make_fp16_network()
    if source.task == "classify":
        return FramesClassifier(network).eval()
    return FramesDetector(network, head=source.head, points=source.row_width - ROW_WIDTH).eval()


def images_from_frames(frames: torch.Tensor) -> torch.Tensor:
    """FP32 [N,3,H,W] in 0..1 from UINT8 [N,H,W,3]. Cast, scale, then transpose: TensorRT refuses a UINT8 transpose."""
    return (frames.float() / 255).permute(0, 3, 1, 2)


def rows_from_yolo_raw(raw: torch.Tensor, points: int = 0) -> torch.Tensor:
    """Rows [N,k,6 + points] best first, k = min(300, anchors), from a raw head [N,4 + C + points,anchors].

    Its columns: cx cy w h, class scores, points.
    """
    end = raw.shape[1] - points
    boxes, scores = raw[:, :4], raw[:, 4:end]
    best, label = scores.max(dim=1)
    confidence, index = best.topk(min(MAX_ROWS, raw.shape[2]), dim=1)
    label = label.gather(1, index).to(raw.dtype)
    cx, cy, width, height = boxes.gather(2, index.unsqueeze(1).expand(-1, 4, -1)).unbind(dim=1)
    left, top = cx - width / 2, cy - height / 2
    rows = torch.stack((left, top, cx + width / 2, cy + height / 2, confidence, label), dim=2)
    if not points:
        return rows
    found = raw[:, end:].gather(2, index.unsqueeze(1).expand(-1, points, -1))
    return torch.cat((rows, found.permute(0, 2, 1)), dim=2)


def padded_rows(rows: torch.Tensor) -> torch.Tensor:
    """Rows [N,300,…]: missing ones are zeros, so their confidence is 0."""
    missing = MAX_ROWS - rows.shape[1]
    return functional.pad(rows, (0, 0, 0, missing)) if missing > 0 else rows


class WithVisibility(nn.Module):
    """A pose network whose points have no visibility, as one whose points are all visible.

    axis: of the columns in its raw output. first: the column of the first point.
    """

    columns: torch.Tensor

    def __init__(self, network: nn.Module, *, axis: int, first: int, count: int) -> None:
        super().__init__()
        self.network = network
        self.axis = axis
        self.register_buffer("columns", torch.tensor(columns_with_visibility(first, count)))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """The raw output with three columns for each point."""
        raw = self.network(images)
        seen = torch.ones_like(raw.narrow(self.axis, 0, 1))
        return torch.cat((raw, seen), self.axis).index_select(self.axis, self.columns)
