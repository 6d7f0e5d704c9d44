"""The public names: three lists that are one, and every name where it is said to be."""

import ast
from importlib import import_module

import pytest

import wsi_tools


def test_the_table_is_sorted():
    assert list(wsi_tools.HOMES) == sorted(wsi_tools.HOMES)


def test_all_lists_the_table_and_the_version():
    assert sorted(wsi_tools.__all__) == sorted([*wsi_tools.HOMES, "__version__"])


def test_type_checkers_see_the_names_from_the_same_homes(root):
    module = ast.parse((root / "wsi_tools" / "__init__.py").read_text())
    (block,) = (node for node in module.body if isinstance(node, ast.If))
    seen = {alias.name: line.module for line in block.body for alias in line.names}
    assert seen == wsi_tools.HOMES


@pytest.mark.parametrize("name", wsi_tools.HOMES)
def test_a_public_name_is_its_homes(name):
    home = import_module(wsi_tools.HOMES[name])
    assert getattr(wsi_tools, name) is getattr(home, name)
    assert name in home.__all__
    assert name in dir(wsi_tools)


def test_no_public_name_is_also_a_room(root):
    rooms = {path.stem for path in (root / "wsi_tools").iterdir()}
    assert rooms & set(wsi_tools.HOMES) == set()


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'no_such_name'"):
        wsi_tools.no_such_name  # noqa: B018 the access is the test
