"""The baseline as Ultralytics' own Triton client sees it, served by a real Triton."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from photofinish.server.triton.embedded import EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def grpc_address(
    coco_repository: tuple[Path, dict[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The baseline's address at an open server: Ultralytics' client knows no token."""
    repository, names = coco_repository
    log_path = tmp_path_factory.mktemp("open") / "log"
    model = names["torch_fp32_tensor"]
    with EmbeddedServer(repository, models=(model,), is_open=True, log_path=log_path) as server:
        yield f"grpc://{server.endpoint.grpc_url}/{model}"


@pytest.mark.parametrize(
    ("picture", "names"),
    [("bus.jpg", ["bus", "person", "person", "person", "person"]), ("zidane.jpg", ["person", "person", "tie"])],
)
def test_boxes_and_names_are_those_of_the_weights(
    grpc_address: str, test_data: Path, monkeypatch: pytest.MonkeyPatch, picture: str, names: list[str]
) -> None:
    monkeypatch.setenv("YOLO_AUTOINSTALL", "false")
    from ultralytics import YOLO

    from photofinish.export.graph.parity import reference_picture_paths

    path = next(item for item in reference_picture_paths() if item.name == picture)
    remote = YOLO(grpc_address, task="detect")
    found = remote.predict(path, device="cpu", verbose=False)[0]
    local = YOLO(test_data / "weights" / "yolo26n_coco_rebuilt.pt")
    expected = local.predict(path, device="cpu", verbose=False, rect=False)[0]
    assert [found.names[int(label)] for label in found.boxes.cls] == names
    np.testing.assert_allclose(found.boxes.data.numpy(), expected.boxes.data.numpy(), atol=0.01)
