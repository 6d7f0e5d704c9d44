"""Pages: templates filled with values, every text escaped, nothing fetched from anywhere."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from wsi_tools import __version__
from wsi_tools.errors import DataError
from wsi_tools.store.files import write_atomically

__all__ = ["BUDGET_BYTES", "render", "write_page"]

BUDGET_BYTES = 20_000_000  # of a page: mail takes it, and a browser opens it at once
MARK = '<meta name="generator" content="wsitools'


def render(template: str, values: Mapping[str, Any]) -> str:
    """A page from its template; a name that the template lacks is an error."""
    pages = Environment(
        loader=PackageLoader("wsi_tools.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return pages.get_template(template).render(version=__version__, **values)


def write_page(path: Path, page: str) -> None:
    """Write a page in the place of an earlier one.

    Raises:
        DataError: what is there is no page of ours.
        OSError: it cannot be written.
    """
    if path.exists() and not _is_ours(path):
        raise DataError(f"{path}: is there, and no page of wsitools; choose another name")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, page.encode())


def _is_ours(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return MARK.encode() in stream.read(2000)
