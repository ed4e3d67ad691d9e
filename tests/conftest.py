"""Fixtures every folder's tests share."""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from photofinish.server.triton.embedded import ServerEndpoint

pytest_plugins = ["tests.export.tensorrt.fixtures"]

CHECKOUT = Path(__file__).resolve().parent.parent

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts background jobs with Ctrl-C ignored, and children inherit it; the tests of Ctrl-C need it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    # So does nohup with the end of a terminal.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real weights, photos and videos; the test is skipped where it is missing."""
    folder = Path(os.environ.get("PHOTOFINISH_TEST_DATA", CHECKOUT.parent / "shared" / "data")).resolve()
    if not (folder / "INDEX.md").is_file():
        pytest.skip(f"no test data at {folder}; set PHOTOFINISH_TEST_DATA to the folder that holds it")
    return folder


COCO_SUFFIXES = ("torch_fp32_tensor", "torch_fp32", "onnx_fp32", "onnx_fp16")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedCoco:
    """A running embedded server with four variants of the COCO detector. names: suffix to model name."""

    endpoint: ServerEndpoint
    names: dict[str, str]
    repository: Path

    @property
    def url(self) -> str:
        return self.endpoint.grpc_url


@pytest.fixture(scope="session")
def coco_repository(test_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A published repository of the COCO detector on the CPU, and suffix to model name.

    The staged artifacts are kept between runs; the export remakes what is stale.
    """
    pytest.importorskip("ultralytics")
    from photofinish.export.build import stage_variants
    from photofinish.export.publishing.publish import publish_variants

    repository = tmp_path_factory.mktemp("coco") / "model_repository"
    kept = CHECKOUT / ".photofinish" / "tests"
    kept.mkdir(parents=True, exist_ok=True)
    with (kept / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        staged = stage_variants(
            str(test_data / "weights" / "yolo26n_coco_rebuilt.pt"),
            variants_path=CHECKOUT / "variants.toml",
            names=COCO_SUFFIXES,
            device="cpu",
            staging=kept / "staging",
            on_progress=print,
        )
        publish_variants(staged, repository)
    return repository, {item.variant.suffix: item.variant.name for item in staged}


@pytest.fixture(scope="session")
def served_coco(coco_repository: tuple[Path, dict[str, str]]) -> Iterator[ServedCoco]:
    """The COCO detector, served by a real embedded Triton for the whole session. Do not stop or change it."""
    from photofinish.server.triton.embedded import EmbeddedServer

    repository, names = coco_repository
    with EmbeddedServer(repository, on_progress=print) as server:
        yield ServedCoco(endpoint=server.endpoint, names=names, repository=repository)
