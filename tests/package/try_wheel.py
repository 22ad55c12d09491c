"""``make wheel-check``: the built wheel does its job in empty environments, with whichever versions it allows."""

import json
import re
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterable
from pathlib import Path

from tests.package.outside import TOOLS, outside

ROOT = Path(__file__).parents[2]
LIMIT_SECONDS = 100
_BOUND = r"^([A-Za-z0-9_-]+)(?:\[\w+\])?>=([0-9.]+)"
_LOOK_UP = """
import importlib.metadata, json, sys
print(json.dumps({name: importlib.metadata.version(name) for name in sys.argv[1:]}))
"""
# uv counts as direct only what it is asked for by name, so the wheel's own requirements are named beside it.
CHOICES: dict[str, list[str | Path]] = {
    "newest": ["--resolution", "highest"],
    "oldest": ["--resolution", "lowest-direct", "--requirement", ROOT / "pyproject.toml", "--extra", "postgres"],
}


def built(folder: Path) -> Path:
    """The wheel, made from this tree."""
    command: list[str | Path] = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def installed(wheel: Path, kind: str, home: Path) -> Path:
    """The programs of an environment that holds the wheel and the newest or oldest versions it allows."""
    uv, environment = TOOLS / "uv", home / "environment"
    subprocess.run([uv, "venv", "--quiet", environment], env=outside(home), cwd=home, check=True)
    install: list[str | Path] = [uv, "pip", "install", "--quiet", "--python", environment, *CHOICES[kind]]
    subprocess.run([*install, f"{wheel}[postgres]"], env=outside(home), cwd=home, check=True)
    return environment / ("Scripts" if sys.platform == "win32" else "bin")


def bounds() -> dict[str, str]:
    """The lower bound of everything the wheel asks for, its extras included."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"]["postgres"]]
    return {name.lower(): bound for name, bound in (re.findall(_BOUND, requirement)[0] for requirement in asked)}


def versions(programs: Path, names: Iterable[str]) -> dict[str, str]:
    """What is installed of these, without the zeros at the end that make no difference."""
    command: list[str | Path] = [programs / "python", "-c", _LOOK_UP, *names]
    found: dict[str, str] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return {name: re.sub(r"(\.0)+$", "", version) for name, version in found.items()}


def try_wheel(wheel: Path, kind: str, home: Path) -> None:
    """Runs the demo from an environment of its own; raises where its last line is not the path of a video."""
    home.mkdir()
    began = time.monotonic()
    programs = installed(wheel, kind, home)
    if kind == "oldest":
        # A bound that nothing can be had at is a promise nobody has tried.
        assert versions(programs, bounds()) == bounds()
    variables = {**outside(home), "SORA2_VIDEO_DIR": str(home / "videos")}
    subprocess.run(
        [programs / "python", "-W", "error", "-c", "import sora2_mcp.tasks.store.postgres"], cwd=home, check=True
    )
    demo = subprocess.run(
        [programs / "sora2-mcp", "demo"],
        env=variables,
        cwd=home,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    assert demo.returncode == 0, demo.stdout + demo.stderr
    video = Path(demo.stdout.splitlines()[-1])
    assert video.parent == home / "videos", demo.stdout
    assert video.read_bytes()[4:8] == b"ftyp"
    seconds = time.monotonic() - began
    sys.stderr.write(f"{wheel.name}, {kind} versions: installed and demonstrated in {seconds:.0f} s\n")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder).resolve()
        made = built(scratch)
        for wanted in CHOICES:
            try_wheel(made, wanted, scratch / wanted)
