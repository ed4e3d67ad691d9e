"""All transports against a real server on a GPU: the same boxes, and what each costs."""

from __future__ import annotations

import time

import numpy as np
import pytest

from photofinish.client.triton.served import TritonClient
from photofinish.client.triton.session import Session
from photofinish.client.triton.transport import GRPC, TRANSPORTS
from photofinish.percentiles import nearest_rank
from tests.conftest import CHECKOUT

REQUESTS = 200


@pytest.fixture(scope="module")
def gpu_server(tmp_path_factory):
    """Address and model name of the demo detector, ONNX FP16 on CUDA: its weights come with the repository."""
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no CUDA GPU")
    from photofinish.export.build import stage_variants
    from photofinish.export.publishing.publish import publish_variants
    from photofinish.server.triton.embedded import EmbeddedServer

    folder = tmp_path_factory.mktemp("gpu")
    staged = stage_variants(
        "demo",
        variants_path=CHECKOUT / "variants.toml",
        names=("onnx_fp16",),
        device="cuda",
        staging=folder / "staging",
        on_progress=print,
    )
    (name,) = publish_variants(staged, folder / "model_repository")
    with EmbeddedServer(folder / "model_repository", on_progress=print) as server:
        yield server.endpoint.grpc_url, name


@pytest.mark.gpu
@pytest.mark.parametrize("batch_size", [1, 8])
def test_every_transport_brings_the_same_boxes(gpu_server, batch_size, record_property):
    url, name = gpu_server
    with TritonClient(url) as client:
        model = client.model(name)
    random = np.random.default_rng(0)
    pictures = random.integers(0, 256, (4, batch_size, *model.input_dims()), dtype=np.uint8)
    outputs = {}
    for transport in TRANSPORTS.values():
        with Session(url, model, transport=transport, slots=2, batch_size=batch_size, timeout_s=60) as session:
            slot = session.acquire()
            found = []
            for picture in pictures:
                slot.input_array[:] = picture
                found.append(session.infer(slot).copy())
            outputs[transport] = np.stack(found)
            times_ns = []
            for _ in range(REQUESTS):
                begun_ns = time.perf_counter_ns()
                session.infer(slot)
                times_ns.append(time.perf_counter_ns() - begun_ns)
        p50_ms, p95_ms = (nearest_rank(np.array(times_ns), share) / 1e6 for share in (0.5, 0.95))
        record_property(f"{transport}_p50_ms", round(p50_ms, 3))
        print(f"batch {batch_size}, {transport}: P50 {p50_ms:.3f} ms, P95 {p95_ms:.3f} ms")
    for transport in TRANSPORTS.values():
        np.testing.assert_array_equal(outputs[GRPC], outputs[transport], err_msg=str(transport))
