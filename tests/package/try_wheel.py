"""``make wheel-check``: the built wheel does its job in empty environments, with whichever versions it allows."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.package.outside import TOOLS, outside

ROOT = Path(__file__).parents[2]
LIMIT_SECONDS = 100
RESOLUTIONS = {"newest": "highest", "oldest": "lowest-direct"}


def built(folder: Path) -> Path:
    """The wheel, made from this tree."""
    command: list[str | Path] = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def installed(wheel: Path, resolution: str, home: Path) -> Path:
    """The programs of an environment that holds the wheel with its extras, and no version that was chosen by us."""
    uv, environment = TOOLS / "uv", home / "environment"
    subprocess.run([uv, "venv", "--quiet", environment], env=outside(home), cwd=home, check=True)
    install: list[str | Path] = [uv, "pip", "install", "--quiet", "--python", environment, "--resolution", resolution]
    subprocess.run([*install, f"{wheel}[postgres]"], env=outside(home), cwd=home, check=True)
    return environment / ("Scripts" if sys.platform == "win32" else "bin")


def try_wheel(wheel: Path, kind: str, home: Path) -> None:
    """Runs the demo from an environment of its own; raises where its last line is not the path of a video."""
    home.mkdir()
    began = time.monotonic()
    programs = installed(wheel, RESOLUTIONS[kind], home)
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
        for wanted in RESOLUTIONS:
            try_wheel(made, wanted, scratch / wanted)
