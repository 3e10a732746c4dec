"""Which changed files can turn a check around is known by their names."""

import pytest

from sunwell.checks.steering import steering_kind, steering_sentences
from sunwell.core.message import FileChange

TESTS = """
tests/test_a.py test_a.py src/pkg/a_test.py pkg/tests.py tests/data/expected.json src/__tests__/App.tsx
web/app.test.ts web/app.spec.js web/login.cy.ts web/__snapshots__/a.snap pkg/server_test.go
src/test/java/com/x/AppTest.java app/src/test/kotlin/AppTests.kt src/Api.Tests/ApiTests.cs spec/user_spec.rb
tests/Unit/UserTest.php test/user_test.exs Tests/AppTests/AppTests.swift tests/integration.rs
crates/a/tests/cli.rs test/widget_test.dart src/core_unittest.cc t/basic.t tests/run.bats
features/login.feature test/user_test.clj tests/testthat/test-plot.R test/ParserSpec.hs scripts/smoke_test.sh
"""
STEERING = """
conftest.py tests/conftest.py pytest.ini tox.ini setup.cfg setup.py pyproject.toml noxfile.py .coveragerc
src/sitecustomize.py lib/x.pth mypy.ini .flake8 Makefile makefile GNUmakefile build/rules.mk justfile
Taskfile.yml Rakefile CMakeLists.txt meson.build package.json web/package.json jest.config.ts
vitest.config.mts vite.config.js playwright.config.ts karma.conf.js .mocharc.cjs babel.config.json
tsconfig.json tsconfig.test.json .npmrc deno.json bunfig.toml .eslintrc.json eslint.config.mjs Cargo.toml
build.rs .cargo/config.toml go.mod .golangci.yml pom.xml build.gradle.kts gradlew
gradle/wrapper/gradle-wrapper.properties .mvn/jvm.config mvnw build.sbt App.csproj Directory.Build.props
Package.swift app.cabal stack.yaml dune-project Gemfile .rspec phpunit.xml.dist composer.json mix.exs
pubspec.yaml deps.edn node_modules/.bin/jest node_modules/jest/index.js .venv/lib/python3/site-packages/x.py
.git/hooks/pre-commit .githooks/pre-push .husky/pre-commit .envrc json.py random/__init__.py pytest.py
"""
NEITHER = """
src/app.py README.md src/latest.py contest.py docs/testing.md src/attestation.go shop/models.py web/App.tsx
src/main.rs lib/user.rb index.html data/report.json src/json.py pkg/random/__init__.py src/protest.js
src/makefiles.md .gitignore
"""


@pytest.mark.parametrize("path", TESTS.split())
def test_tests_of_many_languages_are_known(path):
    """By the name of the file, or by a folder of tests above it."""
    assert steering_kind(path) == "test"


@pytest.mark.parametrize("path", STEERING.split())
def test_what_configures_or_replaces_a_program_that_runs_tests_is_known(path):
    """Settings, build files, installed programs, hooks, and modules that Python would load in their place."""
    assert steering_kind(path) == "steering"


@pytest.mark.parametrize("path", NEITHER.split())
def test_ordinary_files_are_not_accused(path):
    """A name that only looks like one of a test is left alone."""
    assert steering_kind(path) is None


@pytest.mark.parametrize(
    ("path", "command"),
    [
        ("scripts/verify.sh", "sh scripts/verify.sh"),
        ("scripts/verify.sh", "./scripts/verify.sh --fast"),
        ("tools/verify.py", "python3 'tools/verify.py'"),
        ("verify/__init__.py", "python -m verify"),
        ("verify.py", "python -m verify"),
        ("verify.py", "cd sub && X=1 python3.11 -B verify.py --all"),
    ],
)
def test_a_program_that_the_command_runs_steers_it(path, command):
    """A program of the project's own decides the check, whatever it is called."""
    assert steering_kind(path, command) == "steering"
    assert steering_kind(path, "true") is None


def test_a_file_that_a_program_reads_does_not_steer_it():
    """What is searched, compiled or tested is the work itself."""
    for command in ("grep -q right a.txt", "python -m py_compile a.txt", "mypy a.txt; ruff check a.txt"):
        assert steering_kind("a.txt", command) is None


def test_edited_and_deleted_tests_and_all_steering_files_are_named():
    """A new test cannot make the others pass, so that it is no news; a new conftest.py is."""
    files = (
        FileChange("tests/test_b.py", "1", None),
        FileChange("tests/test_a.py", "1", "2"),
        FileChange("tests/test_new.py", None, "2"),
        FileChange("conftest.py", None, "2"),
        FileChange("src/a.py", "1", "2"),
    )
    assert list(steering_sentences(files)) == [
        "The work changed tests: tests/test_a.py (changed), tests/test_b.py (removed).",
        "The work changed files that can decide how this check runs: conftest.py (created).",
    ]


def test_a_long_list_is_shortened_with_its_number():
    """Evidence stays short however many tests were changed."""
    files = [FileChange(f"tests/test_{number:02}.py", "1", "2") for number in range(30)]
    (said,) = steering_sentences(files)
    assert said.endswith("tests/test_19.py (changed), and 10 more.")
