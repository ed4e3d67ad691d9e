"""Fixtures every folder's tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real weights, photos and videos; the test is skipped where it is missing."""
    folder = Path(os.environ.get("PHOTOFINISH_TEST_DATA", CHECKOUT.parent / "shared" / "data")).resolve()
    if not (folder / "INDEX.md").is_file():
        pytest.skip(f"no test data at {folder}; set PHOTOFINISH_TEST_DATA to the folder that holds it")
    return folder
