"""Files and functions stay small enough to be read."""

import ast
from pathlib import Path

import sora2_mcp

PACKAGE = Path(sora2_mcp.__file__).parent
FILE_LINES = 400
FUNCTION_LINES = 50


def test_no_file_and_no_function_is_too_long_to_read() -> None:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text()
        if len(text.splitlines()) >= FILE_LINES:
            found.append(f"{path.name}: {len(text.splitlines())} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
                lines = node.end_lineno - node.lineno + 1
                if lines >= FUNCTION_LINES:
                    found.append(f"{path.name}:{node.lineno} {node.name}: {lines} lines")
    assert found == []
