"""What a served variant tells about itself: Photofinish's metadata inside config.pbtxt."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, get_args

from photofinish.errors import ModelRepositoryError
from photofinish.keypoints.layout import KeypointLayout, layout_from_names, row_width

CARD_PARAMETER = "photofinish"
"""The Triton config parameter that holds the card as one JSON string."""
CARD_SCHEMA_VERSION = 1
NMS_IOU = 0.7
"""Overlap above which the weaker box of a class is dropped; what Ultralytics predicts with."""
DEMO_WEIGHTS = "demo_traffic.pt"
"""The detector that comes with the project: it knows drawn street scenes and nothing else."""

Head = Literal["rows", "yolo_raw", "yolo_raw_objectness", "scores"]
"""How the output is laid out. rows: (n, 6) x1 y1 x2 y2 confidence class. yolo_raw: (4 + classes, anchors)
cx cy w h then class scores (YOLOv8, YOLO11). yolo_raw_objectness: (anchors, 5 + classes) cx cy w h objectness
then class scores (YOLOv5). scores: (classes,). Rows and yolo_raw may end in x, y, visibility of each keypoint."""
BOX_TASKS = ("detect", "pose")
"""What models do that answer with boxes: those with keypoints find boxes too."""
GivenHead = Literal[
    "rows",
    "rows_normalised",
    "yolo_raw",
    "yolo_raw_objectness",
    "yolox",
    "rtdetr",
    "pose",
    "yunet",
    "yolov5_face",
    "detr",
    "dfine",
    "yolo_nas",
    "damo_yolo",
]
"""What `--head` may say of an ONNX file's output. Those that are no Head become one when they are exported."""
GIVEN_HEADS: tuple[GivenHead, ...] = get_args(GivenHead)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """What a client must know to use a variant, read from the server alone.

    input_wh: width and height of the model's input in pixels. nms: "client" when the rows still overlap.
    nms_iou: above which overlap. keypoint_names, keypoint_skeleton: as in KeypointLayout, () for models without.
    untrained: the weights are random; boxes mean nothing. tf32: whether FP32 math may run as TF32 on the GPU.
    parity: figures of the export's comparison with PyTorch; accuracy: the gate's figures; both {} when not measured.
    accelerator: what ONNX Runtime hands the graph to on a GPU; "none" is its own CUDA kernels.
    engines: TensorRT engines by GPU architecture: their file, and the library and version that built them.
    weights: file name of the weights; weights_sha256: their hash, with that of the words they were fused with.
    vocabulary: where the embeddings of its classes came from, "" for weights whose classes are fixed. left_out: what
    the weights find beside boxes and is not served, such as masks.
    weights_changed: {} for weights as they were given; else what Photofinish made of which weights: `by` ("pruning"),
    `from_model`, `from_weights`, `from_sha256`, and figures of what was done.
    published_ns: when the variant came into its repository, since the epoch; 0 where that is not known.
    """

    variant: str
    model: str
    backend: str
    precision: str
    contract: str
    role: str
    head: str
    nms: str
    input_wh: tuple[int, int]
    class_names: tuple[str, ...]
    weights: str
    weights_sha256: str
    task: str = "detect"
    nms_iou: float = NMS_IOU
    keypoint_names: tuple[str, ...] = ()
    keypoint_skeleton: tuple[tuple[int, int], ...] = ()
    device: str = "cpu"
    untrained: bool = False
    vocabulary: str = ""
    left_out: str = ""
    tf32: bool = False
    cuda_graphs: bool = False
    accelerator: str = "none"
    batch_buckets: tuple[int, ...] = (1,)
    parity: dict[str, Any] = field(default_factory=dict)
    accuracy: dict[str, Any] = field(default_factory=dict)
    calibration: dict[str, Any] = field(default_factory=dict)
    engines: dict[str, Any] = field(default_factory=dict)
    weights_changed: dict[str, Any] = field(default_factory=dict)
    published_ns: int = 0
    schema_version: int = CARD_SCHEMA_VERSION

    def to_parameter(self) -> str:
        """The card as the JSON string that stands in config.pbtxt."""
        return json.dumps(asdict(self), sort_keys=True, ensure_ascii=True)

    @property
    def is_square(self) -> bool:
        """Whether the input is the square of the textbook; another input fits pictures of its own shape only."""
        return self.input_wh[0] == self.input_wh[1]

    @property
    def needs_client_nms(self) -> bool:
        """Whether overlapping boxes are left for the client to remove."""
        return self.nms == "client"

    @property
    def has_boxes(self) -> bool:
        """Whether it finds boxes; a classifier does not."""
        return self.task in BOX_TASKS

    @property
    def unpruned_sha256(self) -> str:
        """The hash of the weights that these were made from; "" where they are as they were given."""
        return str(self.weights_changed.get("from_sha256", ""))

    @property
    def keypoint_layout(self) -> KeypointLayout | None:
        """What its keypoints are; None where it has none."""
        return layout_from_names(self.keypoint_names, self.keypoint_skeleton)

    @property
    def row_width(self) -> int:
        """Columns of its rows in the frames contract: 6, or with keypoints 6 + 3K."""
        return row_width(self.keypoint_layout)


def card_from_parameter(text: str) -> ModelCard:
    """The card from its JSON string. Raises ModelRepositoryError when it is not one of ours or newer than we read."""
    try:
        values = json.loads(text)
        version = values["schema_version"]
        if version != CARD_SCHEMA_VERSION:
            raise ModelRepositoryError(
                f"the model's metadata has schema_version {version}, this client reads {CARD_SCHEMA_VERSION}; "
                "export its weights again with this version: `photofinish export --weights FILE.pt`"
            )
        known = {item.name for item in fields(ModelCard)}
        for key in ("input_wh", "class_names", "batch_buckets", "keypoint_names"):
            if key in values:
                values[key] = tuple(values[key])
        if "keypoint_skeleton" in values:
            values["keypoint_skeleton"] = tuple((int(a), int(b)) for a, b in values["keypoint_skeleton"])
        card = ModelCard(**{key: value for key, value in values.items() if key in known})
        layout_from_names(card.keypoint_names, card.keypoint_skeleton)  # refuses a layout that contradicts itself
        return card
    except (ValueError, KeyError, TypeError) as exc:
        raise ModelRepositoryError(
            f"the model's `{CARD_PARAMETER}` metadata cannot be read ({exc}); export the repository again"
        ) from exc
