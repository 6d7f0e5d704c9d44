"""Fixtures that every test may ask for."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real slides and peers' files; tests that need it skip without it."""
    folder = os.environ.get("WSITOOLS_TEST_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("set WSITOOLS_TEST_DATA to the folder of real test data")
    return Path(folder)
