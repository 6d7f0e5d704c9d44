"""What the package imports, it declares: nothing is there by another package's grace."""

import ast
import sys
import tomllib

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PACKAGE_OF = {
    "PIL": "pillow",
    "cv2": "opencv-python-headless",
    "openslide": "openslide-python",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
}


def test_every_package_that_is_imported_is_declared(root):
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    extras = [text for extra in project["optional-dependencies"].values() for text in extra]
    declared = {Requirement(text).name for text in (*project["dependencies"], *extras)}
    foreign = {
        name
        for path in root.glob("wsi_tools/**/*.py")
        for name in imported(ast.parse(path.read_text()))
        if name not in sys.stdlib_module_names and name != "wsi_tools"
    }
    assert "torch" in foreign
    assert {PACKAGE_OF.get(name) or canonicalize_name(name) for name in foreign} <= declared


def imported(module):
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]
