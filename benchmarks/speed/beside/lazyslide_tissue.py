"""LazySlide's tissue detection at its defaults: ``lazyslide_tissue.py SLIDE``."""

import sys

import lazyslide
from answering import answer
from wsidata import open_wsi


def main(path: str) -> None:
    """On a slide that is open."""
    slide = open_wsi(path)
    answer(lambda: lazyslide.pp.find_tissues(slide))


if __name__ == "__main__":
    main(sys.argv[1])
