"""Fixtures that every test may ask for."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("untimed", deadline=None)  # a busy machine makes no fact untrue
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real slides and peers' files; tests that need it skip without it."""
    folder = os.environ.get("WSITOOLS_TEST_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("set WSITOOLS_TEST_DATA to the folder of real test data")
    return Path(folder).resolve()


@pytest.fixture(scope="session")
def golden_file() -> Callable[[str], Path]:
    """Find a file of the original models' numbers by its case; skips where it is not there."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "golden"
    folder = Path(os.environ.get("WSITOOLS_GOLDEN", beside))

    def find(case: str) -> Path:
        path = folder / f"{case}.npz"
        if not path.is_file():
            pytest.skip(f"no {path.name} in the golden folder; set WSITOOLS_GOLDEN")
        return path

    return find
