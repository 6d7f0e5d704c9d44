"""Run wsitools from a checkout without installing it: ``python cli.py tile slide.svs -o proj``.

The commands live in `wsi_tools.cli`; this file is not part of the installed package.
"""

from wsi_tools.cli import app

if __name__ == "__main__":
    app(prog_name="wsitools")
