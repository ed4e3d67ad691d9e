"""User and password in an address and beside it: options first, then the environment."""

from __future__ import annotations

import pytest

from photofinish.address.credentials import (
    PASSWORD_VARIABLE,
    USER_VARIABLE,
    address_with_credentials,
    complete_source,
    require_unambiguous,
    what_to_check,
)
from photofinish.address.hiding import public_address
from photofinish.errors import ConfigError, SourceError

ENVIRONMENT = {USER_VARIABLE: "eve", PASSWORD_VARIABLE: "p@ss"}


@pytest.mark.parametrize(("mark", "code"), [("/", "%2F"), ("?", "%3F"), ("#", "%23")])
def test_the_message_says_what_to_encode(mark, code):
    with pytest.raises(SourceError, match=f"write {code} for it") as caught:
        require_unambiguous(f"rtsp://admin:hun{mark}ter2@cam/1")
    assert "ter2" not in str(caught.value)
    assert "--source-user" in str(caught.value)


@pytest.mark.parametrize(
    "address", ["rtsp://cam/1", "rtsp://u:p@cam/1@2", "https://unpkg.com/@scope/x", "rtsp://u:p[@cam"]
)
def test_what_a_library_reads_as_the_user_means_it_passes(address):
    require_unambiguous(address)


def test_an_at_behind_the_host_may_be_a_mistake():
    assert "percent-encoded" in what_to_check("rtsp://admin:12/34@cam/1")
    assert "hunter" not in what_to_check("rtsp://admin:pw@hunter/2@cam/1")
    assert what_to_check("rtsp://admin:pw@cam/1") == "the address and that cam is reachable"


def test_user_and_password_given_apart_are_encoded():
    found = address_with_credentials("rtsp://cam:554/live?x=1", "ad:min", "p@/[%s ä")
    assert found == "rtsp://ad%3Amin:p%40%2F%5B%25s%20%C3%A4@cam:554/live?x=1"
    assert public_address(found) == "rtsp://cam:554/live"
    assert address_with_credentials("rtsp://cam/1", "admin", None) == "rtsp://admin@cam/1"
    assert address_with_credentials("clip.mp4", None, "") == "clip.mp4"


@pytest.mark.parametrize(
    ("address", "words"), [("clip.mp4", "clip.mp4 is none"), ("rtsp://a:hunter2@cam/1", "rtsp://cam/1 has a user")]
)
def test_user_and_password_that_cannot_be_used(address, words):
    with pytest.raises(ConfigError, match=words) as caught:
        address_with_credentials(address, "admin", "hunter2")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "user", "password", "complete"),
    [
        ("rtsp://cam/1", None, None, "rtsp://eve:p%40ss@cam/1"),
        ("rtsp://cam/1", "adam", None, "rtsp://adam:p%40ss@cam/1"),
        ("rtsp://cam/1", "adam", "x/y", "rtsp://adam:x%2Fy@cam/1"),
        ("rtsp://own:pw@cam/1", None, None, "rtsp://own:pw@cam/1"),
        ("clip.mp4", None, None, "clip.mp4"),
        ("synthetic", None, None, "synthetic"),
    ],
)
def test_where_they_come_from(source, user, password, complete):
    assert complete_source(source, user, password, ENVIRONMENT) == complete


def test_without_any():
    assert complete_source("rtsp://cam/1", None, None, {}) == "rtsp://cam/1"


def test_options_that_cannot_be_used_are_refused():
    with pytest.raises(ConfigError, match=r"clip\.mp4 is none"):
        complete_source("clip.mp4", "adam", None, {})
