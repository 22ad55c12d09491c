"""Has uv write the hashes of all that it may install into a laid out bundle: ``python packaging/lock.py FOLDER``.

This asks the registry for what requirements/run.txt names, and nothing else.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def lock(folder: Path) -> None:
    """Writes ``uv.lock`` with the hashes of all that uv may install; exits where one is not in requirements/run.txt."""
    uv = Path(sys.executable).parent / "uv"
    subprocess.run([uv, "lock", "--quiet", "--project", folder], check=True)  # noqa: S603 - our own words
    if foreign := hashes(folder / "uv.lock") - hashes(ROOT / "requirements" / "run.txt"):
        sys.exit(f"{len(foreign)} files would be installed that requirements/run.txt does not name; run make lock")


def hashes(file: Path) -> set[str]:
    """The hashes of files in a lock of either kind."""
    return set(re.findall(r"sha256:([0-9a-f]{64})", file.read_text()))


if __name__ == "__main__":
    lock(Path(sys.argv[1]))
