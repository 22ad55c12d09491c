"""Writes the registry's entry for a packed bundle beside it: ``python packaging/release.py dist/NAME.mcpb``.

The committed server.json cannot know the bundle's hash: packing notes the time, so every bundle differs. What is
published is therefore the entry written here, together with the very file that was hashed.
"""

import json
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def stamped(entry: dict[str, Any], bundle: Path) -> dict[str, Any]:
    """The entry with the bundle's hash in the package that is this bundle; exits where there is none."""
    mine = [package for package in entry["packages"] if package["identifier"].rpartition("/")[2] == bundle.name]
    if not mine:
        sys.exit(f"server.json names no package {bundle.name}; write it anew: make docs")
    for package in mine:
        package["fileSha256"] = sha256(bundle.read_bytes()).hexdigest()
    return entry


if __name__ == "__main__":
    packed = Path(sys.argv[1])
    text = json.dumps(stamped(json.loads((ROOT / "server.json").read_text()), packed), ensure_ascii=False, indent=2)
    (packed.parent / "server.json").write_text(text + "\n")
