"""The baseline as Ultralytics' own Triton client sees it, served by a real Triton."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from tests.conftest import ServedCoco


@pytest.mark.parametrize(
    ("picture", "names"),
    [("bus.jpg", ["bus", "person", "person", "person", "person"]), ("zidane.jpg", ["person", "person", "tie"])],
)
def test_boxes_and_names_are_those_of_the_weights(
    served_coco: ServedCoco, test_data: Path, monkeypatch: pytest.MonkeyPatch, picture: str, names: list[str]
) -> None:
    monkeypatch.setenv("YOLO_AUTOINSTALL", "false")
    from ultralytics import YOLO

    from photofinish.export.graph.parity import reference_picture_paths

    path = next(item for item in reference_picture_paths() if item.name == picture)
    remote = YOLO(f"grpc://{served_coco.url}/{served_coco.names['torch_fp32_tensor']}", task="detect")
    found = remote.predict(path, device="cpu", verbose=False)[0]
    local = YOLO(test_data / "weights" / "yolo26n_coco_rebuilt.pt")
    expected = local.predict(path, device="cpu", verbose=False, rect=False)[0]
    assert [found.names[int(label)] for label in found.boxes.cls] == names
    np.testing.assert_allclose(found.boxes.data.numpy(), expected.boxes.data.numpy(), atol=0.01)
