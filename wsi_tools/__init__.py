"""From a folder of whole-slide images to trained, honest, explained slide-level models."""

__version__ = "0.1.0"
