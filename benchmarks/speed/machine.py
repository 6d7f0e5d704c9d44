"""The machine as far as figures depend on it, without its name or any path on it."""

import os
import platform
import re
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from wsi_tools.execution import available_cores

__all__ = ["machine"]

PACKAGES = (
    "wsitools", "numpy", "torch", "timm", "openslide-bin", "tifffile", "imagecodecs", "simplejpeg",
    "opencv-python-headless", "pillow", "h5py", "zarr", "openvino",
)  # fmt: skip
GIB = 2**30


def machine() -> Mapping[str, str]:
    """Processor, cores, memory, GPU, and versions."""
    return {
        "processor": _processor(),
        "cores": str(available_cores()),
        "memory": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / GIB:.0f} GiB",
        "GPU": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "system": f"{platform.system()} {platform.machine()}",
        "Python": platform.python_version(),
        **{name: found for name in PACKAGES if (found := _version(name))},
    }


def _processor() -> str:
    told = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    named = dict(re.findall(r"^(model name|cpu family|flags)\s*: (.*)$", told, re.MULTILINE))
    wide = [each for each in ("avx512_bf16", "amx_bf16") if each in named.get("flags", "").split()]
    name = named.get("model name") or platform.processor()
    return ", ".join([f"{name} (family {named.get('cpu family', '?')})", *wide])


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
