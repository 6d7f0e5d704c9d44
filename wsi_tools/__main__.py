"""``python -m wsi_tools`` is the same command as ``wsitools``."""

from wsi_tools.cli import app

app(prog_name="wsitools")
