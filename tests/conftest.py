"""Fixtures every folder's tests share."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import torch

    from photofinish.export.publishing.staging import StagedVariant
    from photofinish.server.triton.embedded import ServerEndpoint

pytest_plugins = ["tests.export.tensorrt.fixtures"]

CHECKOUT = Path(__file__).resolve().parent.parent

# Where a machine wants no bytecode, each of the hundreds of processes below would compile all that it imports.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
# AOTInductor asks the C++ compiler which vector units there are, some seconds each, and optimises code that runs once.
os.environ.setdefault("TORCHINDUCTOR_VEC_ISA_OK", "1")
os.environ.setdefault("AOT_INDUCTOR_COMPILE_WRAPPER_OPT_LEVEL", "O0")
os.environ.setdefault("AOT_INDUCTOR_ENABLE_LINE_TABLES", "0")
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


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledToy:
    """A small network, and its packages of AOTInductor for the CPU, by batch size. Do not change them.

    network: frames (n, 16, 24, 3) uint8 to rows (n, 300, 6).
    """

    network: torch.nn.Module
    packages: Mapping[int, Path]


@pytest.fixture(scope="session")
def compiled_toy(tmp_path_factory: pytest.TempPathFactory) -> CompiledToy:
    """Compiled once for all tests that need a package, since each takes a C++ compiler many seconds."""
    if not shutil.which("g++"):
        pytest.skip("no g++ here, which AOTInductor compiles with on a CPU")
    import torch

    from photofinish.export.graph.frames_torch import FramesDetector
    from photofinish.export.recipes.aoti import compile_packages

    class Rows(torch.nn.Module):
        """A convolution whose output has the shape of rows."""

        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Conv2d(3, 6, 3, stride=2)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.layer(images).flatten(2).permute(0, 2, 1)

    torch.manual_seed(0)
    network = FramesDetector(Rows(), head="rows").eval()
    folder = tmp_path_factory.mktemp("compiled")
    packages = compile_packages(network, (24, 16), (1, 3), folder=folder, device="cpu", on_progress=print)
    return CompiledToy(network=network, packages=packages)


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


@contextmanager
def staged_coco(test_data: Path, suffixes: tuple[str, ...]) -> Iterator[tuple[StagedVariant, ...]]:
    """Variants of the COCO detector for the CPU, which nobody changes while the block runs. Do not change them.

    They are kept between runs; the export remakes what is stale.
    """
    pytest.importorskip("ultralytics")
    from photofinish.export.build import stage_variants

    kept = CHECKOUT / ".photofinish" / "tests"
    kept.mkdir(parents=True, exist_ok=True)
    with (kept / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield stage_variants(
            str(test_data / "weights" / "yolo26n_coco_rebuilt.pt"),
            variants_path=CHECKOUT / "variants.toml",
            names=suffixes,
            device="cpu",
            staging=kept / "staging",
            on_progress=print,
        )


@pytest.fixture(scope="session")
def coco_repository(test_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A published repository of the COCO detector on the CPU, and suffix to model name."""
    from photofinish.export.publishing.publish import publish_variants

    repository = tmp_path_factory.mktemp("coco") / "model_repository"
    with staged_coco(test_data, COCO_SUFFIXES) as staged:
        publish_variants(staged, repository)
    return repository, {item.variant.suffix: item.variant.name for item in staged}


@pytest.fixture(scope="session")
def served_coco(coco_repository: tuple[Path, dict[str, str]]) -> Iterator[ServedCoco]:
    """The COCO detector, served by a real embedded Triton for the whole session. Do not stop or change it."""
    from photofinish.server.triton.embedded import EmbeddedServer

    repository, names = coco_repository
    with EmbeddedServer(repository, on_progress=print) as server:
        yield ServedCoco(endpoint=server.endpoint, names=names, repository=repository)
