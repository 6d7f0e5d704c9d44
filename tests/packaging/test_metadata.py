"""One version everywhere, and constraints that anyone can install from."""

import re
import tomllib
from itertools import chain

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import wsi_tools


@pytest.fixture(scope="module")
def pyproject(root):
    return tomllib.loads((root / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def constraints(root):
    return (root / "tests" / "constraints.txt").read_text().splitlines()


def test_the_version_is_the_same_everywhere(root, pyproject):
    citation = yaml.safe_load((root / "CITATION.cff").read_text())
    assert pyproject["project"]["version"] == wsi_tools.__version__ == citation["version"]


def test_the_changelog_begins_with_what_is_unreleased_and_goes_on_with_this_version(root):
    changelog = (root / "CHANGELOG.md").read_text()
    headings = re.findall(r"^## \[(.+?)\]", changelog, re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert headings[1:2] in ([], [wsi_tools.__version__])


def test_constraints_are_sorted_bare_names_and_versions(constraints):
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*", line) for line in constraints)
    assert constraints == sorted(constraints, key=lambda line: line.partition("==")[0])


def test_constraints_pin_every_direct_dependency_above_its_floor(pyproject, constraints):
    pinned = dict(line.split("==") for line in constraints)
    project, groups = pyproject["project"], pyproject["dependency-groups"]
    extras = project["optional-dependencies"].values()
    for text in chain(project["dependencies"], *extras, *groups.values()):
        wanted = Requirement(text)
        assert wanted.specifier.contains(pinned[canonicalize_name(wanted.name)])


def test_every_floor_has_its_reason_on_the_line(root):
    text = (root / "pyproject.toml").read_text()
    floors = re.findall(r'^    "[\w-]+>=.*$', text, re.MULTILINE)
    assert len(floors) > 20
    assert [line for line in floors if "# " not in line] == []
