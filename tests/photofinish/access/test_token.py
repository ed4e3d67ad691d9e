"""Where a server's token lies, who gets it, and to whom it is shown."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from photofinish.access.token import (
    GRPC_HEADER,
    OPEN,
    TOKEN_VARIABLE,
    Access,
    access_to,
    listening_address,
    new_token,
    remove_leftover_tokens,
    token_folders,
    write_access,
)
from photofinish.errors import ConfigError

URL = "127.0.0.1:8001"
NOT_A_USER = 54321


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own; tokens lie in servers/ in it."""
    monkeypatch.setenv("PHOTOFINISH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    monkeypatch.setattr("photofinish.access.token.listeners_at", lambda port: {os.geteuid()})
    return tmp_path / "cache"


def written(port: int = 8001, **changes: object) -> Access:
    access = Access(**{"token": new_token(), "http_port": 8000, "pid": os.getpid(), **changes})  # type: ignore[arg-type]
    write_access(access, port)
    return access


def test_only_the_user_can_read_it_and_a_client_finds_it_by_the_address(cache: Path) -> None:
    access = Access(token=new_token(), http_port=8000, pid=os.getpid())
    path = write_access(access, 8001)
    assert path.parent == cache / "servers"
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert access_to(URL) == access
    assert access.token not in repr(access)
    assert access_to(URL).grpc_metadata == ((GRPC_HEADER, access.token),)
    assert [item.name for item in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("url", ["127.0.0.1:8002", "127.0.0.2:8001", "[::1]:8001", "localhost:8001", "cam:8001", "x"])
def test_no_other_address_is_shown_it(cache: Path, url: str) -> None:
    """Another user of the machine may listen there."""
    written()
    assert access_to(url) is OPEN
    assert access_to(url).grpc_metadata is None


def test_http_is_shown_it_where_the_server_says_it_listens_and_nowhere_else(cache: Path) -> None:
    access = written(http_port=9999)
    assert access.http_url == "127.0.0.1:9999"
    assert access.http_token(("127.0.0.1", 9999)) == access.token
    assert [access.http_token(address) for address in (("127.0.0.1", 8000), ("::1", 9999))] == ["", ""]
    assert OPEN.http_token(("127.0.0.1", 8000)) == ""


@pytest.mark.parametrize("users", [set(), {NOT_A_USER}, {os.geteuid(), NOT_A_USER}])
def test_nobody_but_a_program_of_this_users_at_the_port_is_shown_it(
    cache: Path, monkeypatch: pytest.MonkeyPatch, users: set[int]
) -> None:
    access = written()
    monkeypatch.setattr("photofinish.access.token.listeners_at", lambda port: users)
    assert access_to(URL) is OPEN
    assert access.http_token(("127.0.0.1", 8000)) == ""
    monkeypatch.setattr("photofinish.access.token.listeners_at", lambda port: None)  # a system that does not tell
    assert access_to(URL) == access


def test_localhost_means_the_address_that_the_server_listens_on(cache: Path) -> None:
    assert listening_address("localhost:8001") == "localhost:8001"
    written()
    assert listening_address("localhost:8001") == URL
    assert listening_address("triton:8001") == "triton:8001"


def test_the_newest_server_at_a_port_counts(cache: Path) -> None:
    written()
    newest = written()
    assert access_to(URL) == newest


def test_what_a_killed_server_left_is_not_shown_and_removed(cache: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        pass
    written(pid=gone.pid)
    alive = written(8003)
    assert access_to(URL) is OPEN
    remove_leftover_tokens()
    assert len(list((cache / "servers").iterdir())) == 1
    assert access_to("127.0.0.1:8003") == alive


@pytest.mark.parametrize("harm", ["readable", "link", "folder", "text"])
def test_a_file_that_others_may_have_touched_is_not_believed(cache: Path, harm: str) -> None:
    path = write_access(Access(token="a", pid=os.getpid()), 8001)
    if harm == "readable":
        path.chmod(0o640)
    elif harm == "text":
        path.write_text('{"tokens": 1}')
    else:
        moved = path.rename(path.with_suffix(".moved"))
        path.symlink_to(moved) if harm == "link" else path.mkdir()
    assert access_to(URL) is OPEN


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_not_believed(cache: Path) -> None:
    path = write_access(Access(token="a", pid=os.getpid()), 8001)
    os.chown(path, NOT_A_USER, NOT_A_USER)
    assert access_to(URL) is OPEN


def test_without_a_cache_it_lies_beside_other_temporary_files_of_the_user(cache: Path) -> None:
    cache.write_text("no folder")
    access = written()
    assert access_to(URL) == access
    assert token_folders()[1].stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's folder")
def test_a_folder_that_another_user_made_first_is_refused_in_words(cache: Path) -> None:
    cache.write_text("no folder")
    trap = token_folders()[1]
    trap.mkdir(parents=True)
    os.chown(trap, NOT_A_USER, NOT_A_USER)
    with pytest.raises(ConfigError, match=r"belongs to another user.*set PHOTOFINISH_CACHE"):
        written()


def test_a_folder_that_was_open_is_closed(cache: Path) -> None:
    (cache / "servers").mkdir(parents=True, mode=0o755)
    written()
    assert (cache / "servers").stat().st_mode & 0o777 == 0o700


def test_behind_a_tunnel_a_variable_brings_it(cache: Path) -> None:
    assert access_to("host:9001", {TOKEN_VARIABLE: "abc"}).grpc_headers == {GRPC_HEADER: "abc"}
    with pytest.raises(ConfigError, match="holds no token"):
        access_to("host:9001", {TOKEN_VARIABLE: "a\nb"})
