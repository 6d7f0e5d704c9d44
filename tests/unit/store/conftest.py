"""A project in an empty folder, and a slide to put into it."""

from pathlib import Path

import pytest
from scene import Scene


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A project in an empty folder, and a slide to put into it."""
    return Scene(tmp_path / "project")
