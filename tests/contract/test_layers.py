"""The rooms and who may enter which: imports point down, and libraries stay where they belong."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import sora2_mcp

PACKAGE = Path(sora2_mcp.__file__).parent
MODULES = sorted(path for path in PACKAGE.rglob("*.py"))

# Telemetry is this low so that every room can say whose work it does and count what it did.
LEVELS = [
    "words",
    "errors",
    "domain",
    "clock",
    "telemetry",
    "settings",
    "services",
    "tasks",
    "runtime",
    "server",
    "cli",
]

HOMES = {
    "httpx2": (
        "services",
        "tasks/downloads.py",
        "tasks/fetch.py",
        "tasks/ssrf.py",
        "tasks/pictures.py",
        "tasks/previews.py",
        "runtime.py",
        "simulator",
    ),
    "httpcore2": ("tasks/ssrf.py",),
    "mcp": ("server", "cli/agent.py"),
    "mcp_types": ("server", "cli/agent.py"),
    "sqlalchemy": ("tasks/store",),
    "aiosqlite": ("tasks/store",),
    "asyncpg": ("tasks/store",),
    "sqlite3": ("tasks/store",),
    "alembic": ("tasks/store",),
    "opentelemetry": ("telemetry",),
    "rich": ("cli",),
    "shtab": ("cli/completion.py",),
    "tomlkit": ("cli/hosts",),
    "uvicorn": ("server", "simulator"),
    "starlette": ("server", "simulator"),
}


SIMULATING = ("cli", "runtime.py")
"""What may import the simulator: commands, and what puts it in the service's place."""


def imports(path: Path) -> Iterator[str]:
    """Modules that are imported, or named by a string: for ``import_module``, in a list, as ``module:function``."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from re.findall(r"\Asora2_mcp\.[\w.]*(?=:\w+\Z|\Z)", node.value)


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def relative(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_imports_point_down(path: Path) -> None:
    mine = room(path)
    ours = {name.split(".")[1] for name in imports(path) if name.startswith("sora2_mcp.")}
    if mine in ("__init__", "__main__"):
        assert ours <= {"cli"}
    elif mine == "simulator":
        assert ours <= {"simulator"}
    else:
        below = set(LEVELS[: LEVELS.index(mine) + 1])
        assert ours <= below | ({"simulator"} if relative(path).startswith(SIMULATING) else set())


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_a_library_is_imported_only_in_its_room(path: Path) -> None:
    for name in imports(path):
        homes = HOMES.get(name.split(".")[0])
        assert homes is None or relative(path).startswith(homes), f"{name} does not belong in {relative(path)}"


@pytest.mark.parametrize(
    "text",
    [
        "import sora2_mcp.server.app",
        "from sora2_mcp.server.app import build_server",
        'import_module("sora2_mcp.server.app")',
        'SLOW = ("sora2_mcp.server.app", "re")',
        'serve("sora2_mcp.server.app:build_server")',
        'import_module(f"sora2_mcp.{room}")',
    ],
)
def test_no_way_to_name_a_module_goes_round_the_walls(tmp_path: Path, text: str) -> None:
    (tmp_path / "module.py").write_text(text)

    assert not {name.split(".")[1] for name in imports(tmp_path / "module.py") if "." in name} <= set(LEVELS[:-2])


def test_the_domain_knows_nothing_but_the_standard_library_and_our_errors() -> None:
    standard = {
        *("collections", "dataclasses", "datetime", "enum", "ipaddress", "json", "re", "typing", "urllib"),
        "sora2_mcp",
    }
    for path in (PACKAGE / "domain").glob("*.py"):
        assert {name.split(".")[0] for name in imports(path)} <= standard


def test_only_settings_reads_the_environment_and_only_the_clock_reads_time() -> None:
    for path in MODULES:
        text = path.read_text()
        if relative(path) != "settings.py":
            assert "os.environ" not in text, path
            assert "getenv" not in text, path
        if relative(path) != "clock.py" and room(path) != "simulator":
            assert "datetime.now" not in text, path
            assert "time.monotonic" not in text, path
            assert "time.time" not in text, path


def test_nothing_is_imported_for_type_checkers_only() -> None:
    assert not [path for path in MODULES if "TYPE_CHECKING" in path.read_text()]
