"""The documents stay true: what they name exists, what exists is named, and what is generated is up to date.

``make docs`` writes the generated parts anew.
"""

import ast
import contextlib
import importlib
import importlib.util
import inspect
import io
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import platformdirs.macos
import platformdirs.unix
import pytest
from pydantic import SecretStr

from sora2_mcp import errors
from sora2_mcp.cli.arguments import parse
from sora2_mcp.errors import Sora2Error
from sora2_mcp.settings import Settings, variable_of
from tests.contract.documents import Document, make_targets, program_arguments, split
from tools.docs.catalogue import catalogue
from tools.docs.commands import PROGRAM, commands
from tools.docs.configuration import EXAMPLES, GROUPS, is_secret
from tools.docs.files import ROOT, documents
from tools.docs.parts import PARTS, filled_in, parts_of

DOCUMENTS = [Document(path) for path in documents()]
README, INDEX, CONFIGURATION, COMMANDS, ERRORS, ARCHITECTURE, CHANGELOG = (
    Document(ROOT / name)
    for name in (
        "README.md",
        "docs/index.md",
        "docs/configuration.md",
        "docs/commands.md",
        "docs/errors.md",
        "docs/architecture.md",
        "CHANGELOG.md",
    )
)
NOTES = {"docs/progress.md"}
"""For those who are at work on this; no reader is led there."""

UNLISTED_ROOMS = ("cli", "simulator", "migrations")
"""What the map names as a whole."""

FOREIGN = {"pg_dump", "pg_restore"}
"""Programs of others whose names read like names in code."""

SAVED_BY_READERS = {"make_video.py"}
"""Files that a page has its reader make."""

FIRST_SCREEN_LINES = 30
"""What GitHub shows of a README before a reader scrolls, about."""

INSTALLED_FROM_PYPI = re.compile(r"""pip install ["']?sora2-mcp|\buvx sora2-mcp""")

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=repr)


@pytest.fixture(scope="module")
def sources() -> str:
    """All that is written in this project and is no document."""
    folders = [ROOT / name for name in ("sora2_mcp", "tests", "bench", "packaging", "tools")]
    files = [path for folder in folders for path in folder.rglob("*") if path.suffix in (".py", ".json", ".toml")]
    return "\n".join(path.read_text(encoding="utf-8") for path in [*files, ROOT / "pyproject.toml", ROOT / "Makefile"])


def command_lines(document: Document) -> Iterator[list[str]]:
    """Command lines in blocks and between backticks."""
    yield from document.command_lines
    for word in document.words:
        if word.startswith((f"{PROGRAM} ", "make ", "python -m ")):
            yield split(word)


def public_names(module: str) -> set[str]:
    return set(dir(importlib.import_module(module)))


def subclasses(kind: type[Sora2Error]) -> Iterator[type[Sora2Error]]:
    for below in kind.__subclasses__():
        yield below
        yield from subclasses(below)


# What is generated.


@each_document
def test_the_generated_parts_are_up_to_date(document: Document) -> None:
    assert filled_in(document.text) == document.text, "run `make docs`"


def test_every_generated_part_stands_in_a_document() -> None:
    used = {part for document in DOCUMENTS for part in parts_of(document.text)}

    assert used == PARTS.keys()


def test_a_stale_part_is_noticed_and_what_stands_around_it_is_kept() -> None:
    stale = "Before\n<!-- tools:begin (why) -->\n| old |\n<!-- tools:end -->\nAfter\n"
    fresh = filled_in(stale)

    assert fresh.startswith("Before\n<!-- tools:begin (why) -->\n| tool |")
    assert fresh.endswith("|\n<!-- tools:end -->\nAfter\n")
    assert filled_in(fresh) == fresh


# Variables.


@each_document
def test_every_variable_a_document_names_exists(document: Document) -> None:
    known = {variable_of(name) for name in Settings.model_fields}
    named = set(re.findall(r"SORA2_[A-Z0-9_]+", document.text))

    assert {name for name in named if not any(one == name or one.startswith(f"{name}_") for one in known)} == set()


def test_every_variable_is_described_in_one_group() -> None:
    grouped = [name for names in GROUPS.values() for name in names]

    assert sorted(grouped) == sorted(Settings.model_fields), "tools/docs/configuration.py says the group of each"


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in EXAMPLES.items() for value in values])
def test_every_example_of_a_value_is_allowed(name: str, value: str) -> None:
    settings = Settings.load(**{name: value})

    assert getattr(settings, name) != Settings.model_fields[name].default


def test_what_is_marked_as_secret_is_what_no_representation_shows() -> None:
    for name in filter(is_secret, Settings.model_fields):
        assert f"| `{variable_of(name)}` (secret) |" in CONFIGURATION.text
        assert isinstance(Settings.model_fields[name].default, SecretStr)
    assert CONFIGURATION.text.count("(secret) |") == sum(map(is_secret, Settings.model_fields))


@pytest.mark.posix
def test_the_default_places_are_those_of_each_system() -> None:
    home = Path.home()
    unix, macos = (
        system("sora2-mcp", appauthor=False) for system in (platformdirs.unix.Unix, platformdirs.macos.MacOS)
    )
    for system in (unix, macos):
        tasks, videos = (
            Path(folder).relative_to(home).as_posix() for folder in (system.user_data_dir, system.user_videos_dir)
        )
        assert f"| `~/{tasks}/tasks.db` | `~/{videos}/sora2` |" in CONFIGURATION.text


# Tools, resources, errors.


def test_every_tool_is_named_to_users_and_in_the_errors() -> None:
    for tool in catalogue()["tools"]:
        assert f"`{tool['name']}`" in README.text
        assert f"`{tool['name']}`" in ERRORS.text


def test_every_resource_and_prompt_is_named_to_users() -> None:
    found = catalogue()
    named = [resource["uri"] for resource in found["resources"]]
    named += [template["uriTemplate"] for template in found["resourceTemplates"]]
    named += [prompt["name"] for prompt in found["prompts"]]

    assert [name for name in named if name not in README.text] == []


@each_document
def test_every_tool_a_document_calls_exists(document: Document) -> None:
    """A call is a name with an underscore and arguments by name, as agents write them."""
    tools = {tool["name"] for tool in catalogue()["tools"]}
    called = set(re.findall(r"(?<![\w.])([a-z]+(?:_[a-z]+)+)\((?:task_id|prompt|status|limit)=", document.text))

    assert called <= tools


@each_document
def test_every_resource_a_document_names_exists(document: Document) -> None:
    found = catalogue()
    known = {resource["uri"] for resource in found["resources"]}
    known |= {template["uriTemplate"].replace("{task_id}", "{id}") for template in found["resourceTemplates"]}
    named = {
        uri.rstrip(".,:;").replace("{task_id}", "{id}") for uri in re.findall(r"sora2://[\w/{}.,:;]*", document.text)
    }

    assert named - {"sora2://"} <= known


def test_every_error_has_its_section() -> None:
    defined = [name for name, kind in vars(errors).items() if inspect.isclass(kind) and issubclass(kind, Sora2Error)]
    sections = re.findall(r"^### (\w+Error)$", ERRORS.text, re.MULTILINE)

    assert sections == [name for name in defined if name != "Sora2Error"]


@each_document
def test_every_error_a_document_names_exists(document: Document, sources: str) -> None:
    named = {word for word in document.words if re.fullmatch(r"[A-Z]\w+Error", word)}

    assert {name for name in named if not re.search(rf"\b{name}\b", sources)} == set()


# Commands and make targets.


def test_every_command_has_its_section() -> None:
    assert re.findall(r"^## (.+)$", COMMANDS.text, re.MULTILINE) == list(commands())


def test_the_simulators_page_names_every_option_with_its_default() -> None:
    page = Document(ROOT / "docs" / "simulator.md").text
    for action in commands()["simulate"]._actions[1:]:  # the first is --help
        (default,) = re.findall(rf"^\| `{action.option_strings[-1]}\b.*?` \|.*\| (.*) \|$", page, re.MULTILINE)
        if isinstance(action.default, str | int | float) and action.default:
            assert default == (f"{action.default:g}" if isinstance(action.default, float) else str(action.default))


@each_document
def test_every_command_line_a_document_shows_is_understood(document: Document) -> None:
    shown = (program_arguments(words, PROGRAM) for words in document.command_lines)
    for arguments in shown:
        if arguments is not None and not {"--help", "--version"} & set(arguments):
            complaint = io.StringIO()
            with contextlib.redirect_stderr(complaint), contextlib.suppress(SystemExit):
                parse(arguments)
            assert complaint.getvalue() == "", f"{PROGRAM} {' '.join(arguments)}"


def test_the_readme_shows_users_how_to_begin() -> None:
    shown = [arguments[0] for words in README.command_lines if (arguments := program_arguments(words, PROGRAM))]

    assert len(shown) >= 5
    assert set(shown) <= {"serve", "generate", "tasks", "gallery", "client-config", "doctor"}


@each_document
def test_every_command_a_document_names_exists(document: Document) -> None:
    """In a sentence a command may stand without its arguments, and with capitals in their places."""
    known = {word: parser for name, parser in commands().items() for word in (name, name.split()[0])}
    for words in map(split, (word for word in document.words if word.startswith(f"{PROGRAM} "))):
        named = [word for word in words[1:] if re.fullmatch(r"[a-z][a-z-]*", word)]
        if not words[1:] or words[1].isupper() or words[1].startswith("-"):
            continue
        assert named[0] in known, words
        options = known.get(" ".join(named[:2]), known[named[0]])._option_string_actions
        assert {word.partition("=")[0] for word in words if word.startswith("--")} <= options.keys() | {"--help"}, words


@each_document
def test_every_make_target_and_module_a_document_runs_exists(document: Document) -> None:
    for words in command_lines(document):
        if words[:1] == ["make"]:
            wanted = re.sub(r"(^| )-s?C \S+", "", " ".join(words[1:])).split()
            assert {target for target in wanted if "=" not in target} <= make_targets(), words
        if words[1:2] == ["-m"] and words[2].startswith(("tests.", "tools.", "sora2_mcp")):
            assert importlib.util.find_spec(words[2]), words


def test_the_readme_names_what_is_made_to_try_and_to_check() -> None:
    made = {words[-1] for words in README.command_lines if words[:1] == ["make"]}

    targets = {"demo", "test", "check", "postgres", "conformance", "hosts", "package", "wheel-check", "bench", "soak"}
    assert targets <= made


def test_every_make_target_is_described_to_contributors() -> None:
    contributing = Document(ROOT / "CONTRIBUTING.md")

    assert {target for target in make_targets() if f"make {target}" not in contributing.words} == set()


# Code, links and names.


@each_document
def test_every_python_block_is_python_and_its_imports_work(document: Document) -> None:
    for block in document.blocks:
        if block.language == "python":
            tree = ast.parse(block.text)
            compile(tree, f"{document}:{block.line}", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            for node in ast.walk(tree):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sora2_mcp"):
                    assert {name.name for name in node.names} <= public_names(str(node.module))


@each_document
def test_every_block_of_data_can_be_read(document: Document) -> None:
    for block in document.blocks:
        if block.language == "json":
            json.loads(block.text)
        elif block.language == "toml":
            tomllib.loads(block.text)


@each_document
def test_every_link_leads_somewhere(document: Document) -> None:
    for link in document.links:
        parts = urlsplit(link)
        if parts.scheme or link.startswith("//"):
            continue
        target = (document.path.parent / unquote(parts.path)).resolve() if parts.path else document.path
        assert target.exists(), link
        if parts.fragment:
            assert unquote(parts.fragment) in Document(target).anchors, link


def test_every_document_can_be_reached_from_the_readme() -> None:
    reached, ahead = set[Path](), [README.path]
    while ahead:
        path = ahead.pop()
        if path not in reached and path.suffix == ".md":
            reached.add(path)
            links = (urlsplit(link) for link in Document(path).links)
            ahead += [(path.parent / link.path).resolve() for link in links if link.path and not link.scheme]

    assert {document.name for document in DOCUMENTS if document.path not in reached} <= NOTES


def test_the_index_names_every_page() -> None:
    named = {(INDEX.path.parent / urlsplit(link).path).resolve() for link in INDEX.links if not urlsplit(link).scheme}
    pages = [document for document in DOCUMENTS if document.name.startswith("docs/") and document.name not in NOTES]

    assert [page.name for page in pages if page.path not in named] == [INDEX.name]


def test_the_readme_shows_a_moving_picture_on_its_first_screen() -> None:
    shown = [link for link in README.links if link.endswith((".png", ".gif"))]

    assert shown[0].endswith(".gif")
    assert README.text.partition(shown[0])[0].count("\n") < FIRST_SCREEN_LINES


@each_document
def test_what_needs_a_release_says_so(document: Document) -> None:
    """Until a release is on PyPI, a line that installs from there stands near words that say so."""
    for installed in INSTALLED_FROM_PYPI.finditer(document.text):
        around = document.text[max(0, installed.start() - 400) : installed.end() + 400]
        assert re.search(r"PyPI", around), installed[0]


@each_document
def test_every_file_and_name_of_the_code_a_document_names_exists(document: Document, sources: str) -> None:
    files = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("[a-z]*/**/*.py")}
    for word in document.words:
        if word in SAVED_BY_READERS:
            continue
        if re.fullmatch(r"[\w/]+\.py", word):
            assert any(f"/{file}".endswith(f"/{word}") for file in files), word
        elif re.fullmatch(r"_?[a-z]+(?:_[a-z]+)+(?:\(\))?", word) and word not in FOREIGN:
            assert re.search(rf"\b{word.removesuffix('()')}\b", sources), word


def test_the_map_names_every_module() -> None:
    modules = (path.relative_to(ROOT / "sora2_mcp") for path in (ROOT / "sora2_mcp").rglob("[!_]*.py"))
    listed = [module for module in modules if not set(module.parts) & set(UNLISTED_ROOMS)]

    assert [str(module) for module in listed if not re.search(rf"\b{module.name}\b", ARCHITECTURE.text)] == []


def test_the_newest_release_in_the_changelog_is_this_one() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    releases = re.findall(r"^## \[(.+?)\] - (unreleased|\d{4}-\d{2}-\d{2})$", CHANGELOG.text, re.MULTILINE)

    assert releases[0][0] == version
