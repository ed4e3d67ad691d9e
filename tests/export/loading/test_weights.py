from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from photofinish.errors import ExportError
from photofinish.export.loading.weights import (
    OFFICIAL_WEIGHTS,
    downloaded_weights,
    find_weights,
    load_source,
    model_name_from_weights,
)
from tests.conftest import CHECKOUT


@pytest.mark.parametrize(
    ("weights", "model"),
    [
        ("/data/YOLO26n.pt", "yolo26n"),
        ("best (copy).onnx", "best_copy_"),
        ("_odd.yaml", "odd"),
        ("torchvision:resnet18", "resnet18"),
        ("Modèle_été.pt", "modele_ete"),
        ("安全帽.pt", "model_fcbe78"),
        ("安全帽-v2.pt", "v2_2e488c"),
        ("车辆-v2.pt", "v2_7f36d0"),
        ("---.pt", "model_cb3f91"),
    ],
)
def test_model_names(weights: str, model: str) -> None:
    assert model_name_from_weights(weights) == model


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("missing.pt", "missing.pt does not exist; pass the path"),
        ("missing.onnx", "missing.onnx does not exist"),
        ("picture.jpg", "not a kind of weights Photofinish reads"),
        (".", "not a kind of weights"),
    ],
)
def test_what_is_not_there_is_named(weights: str, message: str) -> None:
    with pytest.raises(ExportError, match=message):
        find_weights(weights)


def test_a_folder_is_not_weights(tmp_path: Path) -> None:
    folder = tmp_path / "folder.pt"
    folder.mkdir()
    with pytest.raises(ExportError, match="is a folder"):
        find_weights(str(folder))


def test_a_file_is_hashed_and_a_model_name_can_be_given(tmp_path: Path) -> None:
    path = tmp_path / "Best.PT"
    path.write_bytes(b"x")
    found = find_weights(str(path))
    assert (found.kind, found.model) == ("pt", "best")
    assert found.sha256 == "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    assert find_weights(str(path), model_name="Mine").model == "mine"
    assert find_weights("demo", model_name="Mine").model == "mine"


@pytest.mark.parametrize("name", ["mine.yaml", "mine.pt", "mine.onnx"])
def test_a_file_in_the_users_home_can_be_named_by_a_tilde(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / name).write_text("nc: 2")
    assert find_weights(f"~/{name}").spec == str(tmp_path / name)


def test_a_checkpoint_whose_end_is_missing_is_to_be_copied_again(tmp_path: Path) -> None:
    whole = (CHECKOUT / "export" / "weights" / "demo_traffic.pt").read_bytes()
    path = tmp_path / "半截.pt"
    path.write_bytes(whole[:1_000_000])
    with pytest.raises(ExportError, match=r"半截\.pt is damaged: its end is missing, 1\.0 MB are here; copy or"):
        load_source(find_weights(str(path)))


def test_untrained_weights_are_announced() -> None:
    assert "untrained" in find_weights("yolo26n.yaml").notice
    assert "untrained" in find_weights("torchvision:resnet18").notice


def test_an_unknown_classifier_lists_the_known() -> None:
    with pytest.raises(ExportError, match="torchvision:resnet18"):
        load_source(find_weights("torchvision:vgg99"))


def test_official_weights_without_a_network_say_what_to_do(tmp_path: Path) -> None:
    urls = {"yolo26n.pt": "http://127.0.0.1:9/yolo26n.pt"}
    with pytest.raises(ExportError, match=r"cannot be fetched .*copy the file.*yolo26n.yaml for an untrained model"):
        downloaded_weights("yolo26n.pt", urls=urls, cache=tmp_path)
    assert list(tmp_path.iterdir()) == []


def _serve_once(answer: bytes) -> str:
    """The address of a server that gives one answer and hangs up."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with server, server.accept()[0] as connection:
            connection.recv(65536)
            connection.sendall(answer)

    threading.Thread(target=serve, daemon=True).start()
    return f"http://127.0.0.1:{server.getsockname()[1]}/yolo26n.pt"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf",
        b"nonsense",
    ],
)
def test_half_a_download_is_not_kept(tmp_path: Path, answer: bytes) -> None:
    with pytest.raises(ExportError, match="cannot be fetched"):
        downloaded_weights("yolo26n.pt", urls={"yolo26n.pt": _serve_once(answer)}, cache=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_tells_no_length_is_read_to_the_end(tmp_path: Path) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\nweights"
    path = downloaded_weights("yolo26n.pt", urls={"yolo26n.pt": _serve_once(answer)}, cache=tmp_path)
    assert path.read_bytes() == b"weights"
    assert list(tmp_path.iterdir()) == [path]


def test_official_weights_are_fetched_once(tmp_path: Path) -> None:
    origin = tmp_path / "origin.pt"
    origin.write_bytes(b"weights")
    urls = {"yolo26n.pt": origin.as_uri()}
    path = downloaded_weights("yolo26n.pt", urls=urls, cache=tmp_path / "cache")
    origin.unlink()
    assert downloaded_weights("yolo26n.pt", urls=urls, cache=tmp_path / "cache").read_bytes() == b"weights"
    assert path.name == "yolo26n.pt"
    assert all(url.startswith("https://") for url in OFFICIAL_WEIGHTS.values())
