"""Which changed files can turn a check around: tests, and what configures the programs that run them."""

import fnmatch
import re
import shlex
import sys
from collections.abc import Iterable, Iterator
from typing import Literal

from sunwell.core.message import FileChange

NAMES_CHANGED = "The work changed "
"""The beginning of a sentence on files that can turn a check around."""

_MOST_NAMED = 20


def _named(names: str) -> frozenset[str]:
    return frozenset(names.split())


_TEST_FOLDERS = _named(
    "test tests __tests__ __snapshots__ __mocks__ spec specs e2e testdata test_data androidtest "
    "integration_test integration_tests unittest unittests"
)
_TEST_NAMES = (
    "test_*.py *_test.py tests.py *.test.* *.tests.* *.spec.* *.cy.* *_test.go *_test.rs *_test.c *_test.cc "
    "*_test.cpp *_unittest.cc *test.java *tests.java *testcase.java *it.java *test.kt *tests.kt *test.groovy "
    "*spec.groovy *spec.scala *suite.scala *test.scala *test.cs *tests.cs *test.php *_spec.rb *_test.rb "
    "test_*.rb *_test.exs *_test.dart *tests.swift *test.swift *_test.erl *_suite.erl *spec.hs *test.hs "
    "*_test.lua *_spec.lua *_test.clj test_*.r test-*.r *.t *.bats *.feature *.snap *_test.ml *_test.sh "
    "test_*.sh"
)
_STEERING_NAMES = (
    # Python
    "conftest.py pytest.ini .pytest.ini pytest.toml .pytest.toml tox.ini setup.cfg setup.py pyproject.toml "
    "noxfile.py .coveragerc "
    "sitecustomize.py usercustomize.py *.pth pyvenv.cfg mypy.ini .mypy.ini ruff.toml .ruff.toml .flake8 "
    ".pylintrc pylintrc pyrightconfig.json tasks.py manage.py "
    # programs that run tasks
    "makefile gnumakefile *.mk justfile .justfile taskfile.yml taskfile.yaml rakefile cmakelists.txt *.cmake "
    "meson.build meson_options.txt build.ninja build.bazel workspace.bazel module.bazel .bazelrc configure "
    "dockerfile .pre-commit-config.yaml .envrc .tool-versions mise.toml "
    # JavaScript and TypeScript
    "package.json jest.config.* jest.setup.* vitest.config.* vitest.setup.* vitest.workspace.* vite.config.* "
    "playwright.config.* cypress.config.* karma.conf.* .mocharc.* ava.config.* wdio.conf.* babel.config.* "
    ".babelrc* .swcrc webpack.config.* rollup.config.* tsconfig*.json jsconfig.json .npmrc .yarnrc "
    ".yarnrc.yml .pnp.* pnpm-workspace.yaml lerna.json nx.json turbo.json deno.json deno.jsonc bunfig.toml "
    ".eslintrc* eslint.config.* biome.json* .prettierrc* "
    # compiled languages
    "cargo.toml build.rs rust-toolchain rust-toolchain.toml go.mod go.work .golangci.yml .golangci.yaml "
    "magefile.go pom.xml build.gradle build.gradle.kts settings.gradle settings.gradle.kts "
    "gradle.properties gradlew mvnw build.xml build.sbt *.csproj *.fsproj *.vbproj *.props *.targets "
    "nuget.config global.json *.runsettings package.swift *.xcconfig *.xctestplan *.cabal cabal.project "
    "stack.yaml package.yaml dune dune-project "
    # others
    "gemfile .rspec .rubocop.yml phpunit.xml phpunit.xml.dist phpunit.dist.xml composer.json mix.exs "
    "rebar.config pubspec.yaml dart_test.yaml analysis_options.yaml project.clj deps.edn .busted .luacheckrc "
    "makefile.pl build.pl .proverc cpanfile description .testthat"
)
_STEERING_FOLDERS = _named(
    "node_modules site-packages .venv venv .tox .nox .cargo .mvn gradle .bundle .yarn .husky .git .githooks "
    ".bin .config"
)
"""What lies in them runs, or is loaded, when a program of the project runs."""
_INTERPRETERS = _named(
    "sh bash dash zsh python pypy node deno bun tsx ruby perl php lua env time npx exec timeout nice source "
    "uv poetry pipenv pdm hatch run coverage"
)
_ASSIGNMENT = re.compile(r"\w+=")
_MODULES = frozenset(sys.stdlib_module_names) | {"pytest", "_pytest", "pluggy", "coverage", "xdist", "nose"}


def _matcher(names: str) -> "re.Pattern[str]":
    return re.compile("|".join(fnmatch.translate(name) for name in names.split()))


_TEST = _matcher(_TEST_NAMES)
_STEERING = _matcher(_STEERING_NAMES)

SteeringKind = Literal["test", "steering"]


def steering_kind(path: str, command: str = "") -> SteeringKind | None:
    """Return what the file *path* of a workspace can do to a check with *command*.

    ``test``: it is a test, or material of one. ``steering``: it configures or replaces a program that runs
    tests, or *command* runs it. ``None``: neither is known of it.
    """
    *folders, name = path.casefold().split("/")
    programs = programs_of(command)
    is_plugin = name == "entry_points.txt" and folders and folders[-1].endswith((".egg-info", ".dist-info"))
    if is_plugin or _STEERING.fullmatch(name) or _STEERING_FOLDERS.intersection(folders):
        return "steering"
    if _TEST.fullmatch(name) or _TEST_FOLDERS.intersection(folders):
        return "test"
    if path in programs or _shadows(folders, name, programs):
        return "steering"
    return None


def programs_of(command: str) -> tuple[str, ...]:
    """Return the words of *command* that name a program or a script, in order: ``sh`` and ``run.sh``."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    found, expected = list[str](), True
    try:
        for word in lexer:
            if set(word) <= set(";&|()"):
                expected = True
            elif expected and not (word.startswith("-") or _ASSIGNMENT.match(word)):
                found.append(word.removeprefix("./"))
                expected = word.rpartition("/")[2].rstrip("0123456789.") in _INTERPRETERS
    except ValueError:  # a quotation that does not end: the shell reports it
        pass
    return tuple(found)


def _shadows(folders: list[str], name: str, programs: tuple[str, ...]) -> bool:
    """Whether Python would load the file in place of a module that a test run imports.

    ``python -m pytest`` finds modules of the current folder first.
    """
    first = folders[0] if folders else name.removesuffix(".py")
    is_module = name == "__init__.py" if folders else name.endswith(".py")
    return is_module and len(folders) <= 1 and (first in _MODULES or first in programs)


def steering_sentences(files: Iterable[FileChange], command: str = "") -> Iterator[str]:
    """Yield a sentence for the tests among *files* that were edited or deleted, and one for what steers them.

    A new test is not named: it cannot make the others pass.
    """
    tests, steering = [], []
    for change in files:
        kind = steering_kind(change.path, command)
        if kind == "steering":
            steering.append(f"{change.path} ({change.verb})")
        elif kind == "test" and change.before is not None:
            tests.append(f"{change.path} ({change.verb})")
    if tests:
        yield f"{NAMES_CHANGED}tests: {_listed(tests)}."
    if steering:
        yield f"{NAMES_CHANGED}files that can decide how this check runs: {_listed(steering)}."


def _listed(named: list[str]) -> str:
    more = f", and {len(named) - _MOST_NAMED} more" if len(named) > _MOST_NAMED else ""
    return ", ".join(sorted(named)[:_MOST_NAMED]) + more
