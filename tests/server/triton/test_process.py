"""What the server needs of the machine, and its words when that is missing."""

import os
import socket
from pathlib import Path

import pytest

from photofinish.errors import ModelRepositoryError, ServerError
from photofinish.machine.addresses import LOOPBACK
from photofinish.server.triton import files as triton_files
from photofinish.server.triton import process, supervisor
from photofinish.server.triton.log import last_error, loaded_models, unread_models
from photofinish.server.triton.ports import choose_ports
from photofinish.server.triton.run_folder import models_in


def test_other_systems_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_files.platform, "machine", lambda: "aarch64")
    with pytest.raises(ServerError, match="x86-64 Linux, found linux on aarch64"):
        triton_files.check_platform()


@pytest.mark.parametrize(("found", "words"), [((2, 31), "found 2.31"), ((), "another C library")])
def test_old_or_foreign_libc_is_refused(monkeypatch: pytest.MonkeyPatch, found: tuple[int, ...], words: str) -> None:
    monkeypatch.setattr(triton_files, "glibc_version", lambda: found)
    with pytest.raises(ServerError, match=words):
        triton_files.check_platform()


def test_python_without_a_stub_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_files, "python_version", lambda: "3.14")
    with pytest.raises(ServerError, match=r"stubs for Python 3.10, .*found 3.14"):
        triton_files.check_platform()


def test_missing_libpython_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_files, "python_version", lambda: "3.99")
    with pytest.raises(ServerError, match=r"no shared libpython3.99.so.1.0 .*apt install libpython3.99"):
        triton_files.find_libpython()


def test_chosen_triton_folder_must_hold_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHOTOFINISH_TRITON_DIR", str(tmp_path))
    with pytest.raises(ServerError, match=r"PHOTOFINISH_TRITON_DIR=.* holds no tritonserver"):
        triton_files.find_triton(lambda line: None)


def test_free_ports_differ() -> None:
    ports = choose_ports(grpc=0, http=0, metrics=0)
    assert len({ports.grpc, ports.http, ports.metrics}) == 3


def test_taken_port_is_named() -> None:
    with socket.create_server((LOOPBACK, 0)) as holder:
        port = holder.getsockname()[1]
        with pytest.raises(ServerError, match=rf"port {port} on 127.0.0.1 cannot be used.*another --grpc-port"):
            choose_ports(grpc=port, http=0, metrics=0)


def test_one_port_twice_is_refused() -> None:
    with pytest.raises(ServerError, match="a port of its own"):
        choose_ports(grpc=9000, http=9000, metrics=0)


def test_empty_and_missing_repositories(tmp_path: Path) -> None:
    (tmp_path / "not_a_model").mkdir()
    with pytest.raises(ModelRepositoryError, match="holds no model; run `photofinish export`"):
        models_in(tmp_path)
    with pytest.raises(ModelRepositoryError, match="No such file"):
        models_in(tmp_path / "nowhere")


LOG = """\
I1120 23:22:42.737852 26134 model_lifecycle.cc:839] "successfully loaded 'toy'"
[libprotobuf ERROR text_format.cc:337] Error parsing text-format inference.ModelConfig: 1:20: Expected string, got: x
E1120 23:22:41.791867 26134 model_repository_manager.cc:1460] "Poll failed for model directory 'b': failed to read b"
"""


def test_log_lines_are_understood() -> None:
    assert loaded_models(LOG) == ["toy"]
    assert unread_models(LOG) == {"b": "failed to read b, 1:20: Expected string, got: x"}
    assert "Poll failed" in last_error(LOG)
    assert last_error("") == ""
    assert last_error('E1121 06:08:39.349362 2073 server.cc:241] "CudaDriverHelper has not been initialized."') == ""


def test_leftovers_of_dead_processes_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(process, "SHARED_MEMORY", tmp_path)
    monkeypatch.setattr(supervisor, "SHARED_MEMORY", tmp_path)
    dead, alive = 2**22 + 1, os.getpid()  # above the kernel's largest process id
    for owner in (dead, alive):
        (tmp_path / f"photofinish_{owner}_ab_region").touch()
        (tmp_path / f"photofinish-server-{owner}_ab").mkdir()
    (tmp_path / "photofinish_of_somebody_else").touch()
    process.remove_leftovers()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"photofinish-server-{alive}_ab",
        f"photofinish_{alive}_ab_region",
        "photofinish_of_somebody_else",
    ]


def test_leftovers_of_another_user_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(process, "SHARED_MEMORY", tmp_path)
    monkeypatch.setattr(supervisor, "SHARED_MEMORY", tmp_path)
    (tmp_path / f"photofinish_{2**22 + 1}_ab_region").touch()
    monkeypatch.setattr(Path, "unlink", refuse)
    process.remove_leftovers()
