"""Lays out the bundle for desktop hosts in a folder, ready for ``mcpb pack``: ``python packaging/bundle.py FOLDER``.

The code travels in the bundle; its dependencies are installed by the host's uv, which takes only the files that were
tested: ``lock.py`` writes their hashes into it. Where a host's uv asks another registry it keeps to their versions.
"""

import json
import re
import shutil
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "packaging" / "mcpb"
_PIN = re.compile(r"^([A-Za-z0-9._-]+==[^\s;]+(?: ; [^\\]+?)?) \\$", re.MULTILINE)
# uv would take a newer Python as well, for which the pinned versions may have no wheels.
_PYTHON = ">=3.11,<3.15"


def pins() -> list[str]:
    """The versions of everything the program needs, as requirements/run.txt has them."""
    return _PIN.findall((ROOT / "requirements" / "run.txt").read_text())


def pyproject() -> str:
    """What uv reads in the unpacked bundle: the package's own dependencies, held to the tested versions."""
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    values = {"name": project["name"], "version": project["version"], "requires-python": _PYTHON}
    lines = ["[project]", *(f"{name} = {json.dumps(value)}" for name, value in values.items())]
    # A desktop host's model sees pictures.
    needed = [*project["dependencies"], *project["optional-dependencies"]["preview"]]
    lines += [f"dependencies = {json.dumps(needed, indent=4)}", ""]
    lines += ["[tool.uv]", "package = false", f"constraint-dependencies = {json.dumps(pins(), indent=4)}", ""]
    return "\n".join(lines)


def lay_out(folder: Path) -> None:
    """Fills the folder, which must be empty or not exist, with all that the bundle holds."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in (SOURCE / "manifest.json", SOURCE / "server.py", ROOT / "packaging" / "icon.png", ROOT / "LICENSE"):
        shutil.copy(file, folder)
    shutil.copytree(ROOT / "sora2_mcp", folder / "sora2_mcp", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "pyproject.toml").write_text(pyproject())


if __name__ == "__main__":
    lay_out(Path(sys.argv[1]))
