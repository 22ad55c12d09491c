"""A place outside the tree, where nothing is installed and nothing is set but where tools and registries are."""

import os
import subprocess
import sys
from pathlib import Path

TOOLS = Path(sys.executable).parent
_LEFT_BEHIND = ("SORA2_", "XDG_", "VIRTUAL_ENV", "PYTHON")


def outside(home: Path) -> dict[str, str]:
    """This environment without our and Python's variables, at home in an empty folder; uv keeps its downloads."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_LEFT_BEHIND)}
    asked = subprocess.run([TOOLS / "uv", "cache", "dir"], capture_output=True, text=True, check=True)
    path = f"{TOOLS}{os.pathsep}{os.environ['PATH']}"
    return {**kept, "HOME": str(home), "UV_CACHE_DIR": asked.stdout.strip(), "PATH": path}
