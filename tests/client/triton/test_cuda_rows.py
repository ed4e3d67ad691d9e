"""Memory of a GPU that others write into: on the GPU that was named, and never overwritten from the host."""

from __future__ import annotations

import numpy as np
import pytest

from photofinish.client.cameras.schedule.batches import StagedSlot
from photofinish.client.triton.cuda_region import (
    CudaRegion,
    CudaRegionName,
    SharedGpu,
    cuda_region_from_text,
    gpu_shared_with,
    is_cuda_region,
)
from photofinish.client.triton.session import Session
from photofinish.client.triton.transport import CUDA_SHM, GRPC
from tests.client.fake_triton import FakeModel, FakeTriton
from tests.client.triton.test_cuda_region import HostRuntime, echo_sums, served


def region_on(runtime: HostRuntime, device_id: int = 0, server_device_id: int | None = None) -> tuple[CudaRegion, list]:
    asked: list = []
    region = CudaRegion(
        (4, 2),
        np.uint8,
        register=lambda *call: asked.append(call),
        unregister=lambda name: None,
        device_id=device_id,
        server_device_id=server_device_id,
        runtime=runtime,
    )
    return region, asked


def on_gpu(runtime: HostRuntime, region: CudaRegion) -> np.ndarray:
    return np.frombuffer(runtime.memory[region._device_pointer], np.uint8)[:8].reshape(4, 2)


def test_memory_lies_on_the_gpu_that_is_named_and_the_server_hears_its_own_number_of_it():
    runtime = HostRuntime()
    region, asked = region_on(runtime, 3, 0)
    assert runtime.devices[-1] == 3
    assert asked[0][2] == 0
    found = cuda_region_from_text(region.on_device)
    assert (found.device_id, found.byte_size, found.name) == (3, 8, region.name)
    assert found.handle == asked[0][1]
    region.close()
    assert not runtime.memory


def test_a_session_puts_its_memory_where_its_server_is(monkeypatch):
    runtime = HostRuntime()
    monkeypatch.setattr("photofinish.client.triton.cuda_region.load_runtime", lambda: runtime)
    with FakeTriton(FakeModel(infer=echo_sums, gpus=(0,))) as server:
        with Session(server.url, served(server), transport=CUDA_SHM, slots=1, batch_size=2, gpu=1) as session:
            assert set(runtime.devices) == {1}
            slot = session.acquire()
            assert cuda_region_from_text(slot.on_device).device_id == 1
            assert set(server.region_gpus.values()) == {0}, "the server counts the one GPU that it sees"


def test_without_a_wish_memory_lies_on_a_gpu_that_serves_the_model_and_others_are_told_of(monkeypatch):
    runtime, notices = HostRuntime(), []
    monkeypatch.setattr("photofinish.client.triton.cuda_region.load_runtime", lambda: runtime)
    with FakeTriton(FakeModel(infer=echo_sums, gpus=(2, 3))) as server:
        with Session(server.url, served(server), transport=CUDA_SHM, batch_size=2, on_notice=notices.append):
            assert set(runtime.devices) == {2}
            assert set(server.region_gpus.values()) == {2}
        with Session(server.url, served(server), transport=GRPC, on_notice=notices.append):
            pass
    (notice,) = notices
    assert notice.startswith("toy_onnx_fp32 runs on 2 GPUs, and the pictures lie on GPU 2: the others read them across")
    assert "--gpus all for cameras" in notice


@pytest.mark.parametrize(
    ("gpus", "here", "expected"),
    [
        ((), None, (0, 0)),
        ((2, 3), None, (2, 2)),
        ((0,), 1, (1, 0)),
        ((0, 1), 1, (1, 1)),
        ((), 1, (1, 1)),
    ],
)
def test_which_gpu_client_and_server_share(gpus: tuple[int, ...], here: int | None, expected: tuple[int, int]):
    assert gpu_shared_with(gpus, here) == SharedGpu(here=expected[0], at_server=expected[1])


@pytest.mark.parametrize(("without", "expected"), [((), [1, 1, 1, 9]), ((1,), [1, 9, 1, 9]), ((0, 2), [9, 1, 9, 9])])
def test_rows_that_were_written_on_the_gpu_stay(without: tuple[int, ...], expected: list[int]):
    runtime = HostRuntime()
    region, _ = region_on(runtime)
    on_gpu(runtime, region)[:] = 9
    region.array[:] = 1
    region.deliver(6, without)
    assert on_gpu(runtime, region)[:, 0].tolist() == expected


def test_a_batch_of_both_kinds_is_put_together():
    """Pictures 1 and 2 were written on the GPU, 0 and 3 on the host; 1 is missing, so that 2 and 3 move down."""
    runtime = HostRuntime()
    region, _ = region_on(runtime)

    class Slot:
        input_array = region.array
        direct, on_device = "", region.on_device
        rows_on_device: frozenset[int] = frozenset()
        move_on_device = staticmethod(region.move_on_device)

    staged = StagedSlot(Slot())  # type: ignore[arg-type]
    staged.begin((1, 2))
    memory = on_gpu(runtime, region)
    memory[1], memory[2] = 21, 22
    staged.pictures[0], staged.pictures[3] = 10, 13
    staged.move(1, 2)
    staged.move(2, 3)
    staged.deliver(3)
    assert staged.slot.rows_on_device == {1}
    region.deliver(6, staged.slot.rows_on_device)
    assert memory[:3, 0].tolist() == [10, 22, 13]
    staged.close()


@pytest.mark.parametrize("text", ["", "1/2/3", "cuda/0/8", "cuda/a/8/name/00", "cuda/0/8/name/zz"])
def test_other_texts_name_no_gpus_region(text: str):
    with pytest.raises(ValueError, match=r".+"):
        cuda_region_from_text(text)


def test_a_name_is_read_back():
    name = CudaRegionName(device_id=2, handle=b"\x01" * 64, byte_size=77, name="photofinish-region-1")
    assert is_cuda_region(str(name))
    assert cuda_region_from_text(str(name)) == name
