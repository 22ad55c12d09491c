"""Where things are in this repository, and how they are written."""

import json
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
VERSION: str = PROJECT["version"]
REPOSITORY = "https://github.com/sora2-mcp/sora2-mcp"

_FOLDERS = (".", "docs", "docs/pictures", "docs/tutorials", "packaging", ".github")


def documents() -> list[Path]:
    """Every document of the project."""
    return sorted(path for folder in _FOLDERS for path in (ROOT / folder).glob("*.md"))


def as_json(value: Any, indent: int = 2) -> str:
    """The text of a file that holds ``value``."""
    return json.dumps(value, ensure_ascii=False, indent=indent) + "\n"


def write(path: Path, text: str) -> None:
    """Writes a file that holds something else, and names it."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8", newline="\n")
        print(path.relative_to(ROOT))
