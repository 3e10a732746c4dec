"""Does the smart model see the code that a task is about? Real tasks on real packages.

Run with ``python benchmarks/gathering.py --sources FOLDER``. A task is a line of a changelog, its workspace the
release before, and its gold the source files that were changed for that line. A file counts as found if the text
that is gathered shows it whole, or shows the definition in which most lines were changed; changes outside of
definitions count as their lines. The packages of the second list were not looked at while the gathering was made.

FOLDER holds unpacked source distributions, ``NAME-VERSION``. What is missing is downloaded with pip.
"""

import argparse
import difflib
import re
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
from recording import record

from sunwell.context.excerpts import gather
from sunwell.context.outline import definitions

LIMIT_TOKENS = 12_000
AIM_FOUND, AIM_NAMED, AIM_SECONDS = 0.75, 0.98, 2.0
MANY_FILES = 10_000


@attrs.frozen
class Case:
    """A line of a changelog, and the files that were changed for it."""

    package: str
    before: str
    after: str
    task: str
    gold: tuple[str, ...]


TUNED = (
    Case("apispec", "6.8.3", "6.8.4", "Set TimeDelta field type according to serialization_type.",
         ("src/apispec/ext/marshmallow/field_converter.py",)),
    Case("apispec", "6.8.4", "6.9.0", "Support examples property from field metadata.",
         ("src/apispec/ext/marshmallow/field_converter.py",)),
    Case("arrow", "1.2.2", "1.2.3", "Updated Danish locale and associated tests.", ("arrow/locales.py",)),
    Case("attrs", "25.1.0", "25.2.0",
         "Checking mandatory vs non-mandatory attribute order is now performed after the field transformer, since "
         "the field transformer may change attributes and/or their order.", ("src/attr/_make.py",)),
    Case("blinker", "1.8.2", "1.9.0", "Skip weakref signal cleanup if the interpreter is shutting down.",
         ("src/blinker/base.py",)),
    Case("cachetools", "8.0.1", "8.0.2",
         "Fix updating TTLCache and TLRUCache items while iterating, which skipped or repeated keys.",
         ("src/cachetools/__init__.py",)),
    Case("environs", "15.0.1", "15.1.0",
         "Add a specific exception, `EnvNotSetError`, for missing environment variables.",
         ("src/environs/__init__.py", "src/environs/exceptions.py")),
    Case("environs", "15.1.0", "15.2.0",
         "Return `None` for invalid values when `eager=False`, matching the documented `T | None` return type and "
         "the missing-variable case.", ("src/environs/__init__.py",)),
    Case("filelock", "4.2.11", "4.2.12",
         "UnixFileLock refuses, with PermissionError, a lock file that another account owns under a sticky parent "
         "such as /tmp.", ("src/filelock/_unix.py", "src/filelock/_util.py")),
    Case("flask", "3.1.2", "3.1.3",
         "The session is marked as accessed for operations that only access the keys but not the values, such as "
         "`in` and `len`.", ("src/flask/sessions.py", "src/flask/ctx.py", "src/flask/app.py")),
    Case("h11", "0.15.0", "0.16.0",
         "Reject certain malformed `Transfer-Encoding: chunked` bodies that were previously accepted.",
         ("h11/_readers.py",)),
    Case("httpcore", "1.0.5", "1.0.6", "Handle mapping `ssl.SSLError` to `httpcore.ConnectError`.",
         ("httpcore/_backends/anyio.py",)),
    Case("httpcore", "1.0.5", "1.0.6", "Handle trio raising `NotImplementedError` on unsupported platforms.",
         ("httpcore/_synchronization.py",)),
    Case("itsdangerous", "2.1.0", "2.1.1", "Handle date overflow in timed unsign.",
         ("src/itsdangerous/timed.py",)),
    Case("jinja2", "3.1.5", "3.1.6",
         "The |attr filter does not bypass the environment's attribute lookup, allowing the sandbox to apply its "
         "checks.", ("src/jinja2/filters.py",)),
    Case("markdown", "3.11.1", "3.11.2",
         "Sanitize attribute names in the `fenced_code` and `legacy_attrs` extensions so an attribute name cannot "
         "break out of its tag and inject markup.",
         ("markdown/extensions/fenced_code.py", "markdown/extensions/legacy_attrs.py",
          "markdown/extensions/attr_list.py")),
    Case("markdown", "3.11.1", "3.11.2",
         "For backwards compatibility, revert the enforcement of CommonMark style punctuation rules.",
         ("markdown/inlinepatterns.py",)),
    Case("marshmallow", "4.2.3", "4.2.4",
         "`marshmallow.validate.URL` and `marshmallow.validate.Email` accept Internationalized Domain Names (IDNs).",
         ("src/marshmallow/validate.py",)),
    Case("marshmallow", "4.2.3", "4.2.4", "Typing: Fix typing of `nested` in `marshmallow.fields.Nested`.",
         ("src/marshmallow/fields.py",)),
    Case("marshmallow", "4.2.4", "4.3.0",
         "Add `pre_load` and `post_load` parameters to `marshmallow.fields.Field` for field-level pre- and "
         "post-processing.", ("src/marshmallow/fields.py",)),
    Case("marshmallow", "4.3.0", "4.3.1",
         "If `by_value` is enabled on an enum with a `None` value `allow_none` now defaults to `True`.",
         ("src/marshmallow/fields.py",)),
    Case("mistune", "3.3.1", "3.3.2", "Fix mypy compatibility for list parsing on Python 3.8 and 3.9+.",
         ("src/mistune/list_parser.py",)),
    Case("parso", "0.8.6", "0.8.7", "Add PEP 695 type parameter syntax.", ("parso/python/tree.py",)),
    Case("pyjwt", "2.15.0", "2.15.1",
         "Accept trailing Base64URL `=` padding when decoding JWS segments, so tokens issued by AWS ALB and similar "
         "systems verify instead of raising `DecodeError: Invalid crypto padding`.", ("jwt/api_jws.py",)),
    Case("pyjwt", "2.12.1", "2.13.0",
         "Reject JWK JSON documents passed as raw HMAC secrets in `HMACAlgorithm.prepare_key` to close an "
         "algorithm-confusion gap.", ("jwt/algorithms.py",)),
    Case("pyjwt", "2.12.1", "2.13.0",
         "Reject non-http(s) URI schemes in `PyJWKClient` so attacker-influenced URIs cannot read local files.",
         ("jwt/jwks_client.py",)),
    Case("requests", "2.33.0", "2.33.1", "Fixed Content-Type header parsing for malformed values.",
         ("src/requests/utils.py",)),
    Case("requests", "2.34.0", "2.34.1",
         "Fixed a bug where some bodies with custom `__getattr__` implementations weren't being properly detected "
         "as Iterables.", ("src/requests/models.py",)),
    Case("sqlparse", "0.5.4", "0.5.5",
         "Fix DoS protection to raise SQLParseError instead of silently returning None when grouping limits are "
         "exceeded.", ("sqlparse/engine/grouping.py",)),
    Case("sqlparse", "0.5.4", "0.5.5", "Fix splitting of BEGIN TRANSACTION statements.",
         ("sqlparse/engine/statement_splitter.py",)),
    Case("stamina", "25.2.0", "26.1.0",
         "`_compute_backoff()` no longer raises `OverflowError` when the attempt number exceeds 1024 with a float "
         "*wait_exp_base*. The exponential result is now clamped to *wait_max* on overflow.",
         ("src/stamina/_core.py",)),
    Case("structlog", "25.2.0", "25.3.0",
         "`structlog.processors.TimeStamper` now again uses timestamps using UTC for custom format strings when "
         "`utc=True`.", ("src/structlog/processors.py",)),
    Case("structlog", "25.3.0", "25.4.0",
         "`structlog.tracebacks` now handles exception groups. `structlog.tracebacks.Stack` has two new fields, "
         "`is_group: bool` and `exceptions: list[Trace]`.", ("src/structlog/tracebacks.py",)),
    Case("tomlkit", "0.15.0", "0.15.1",
         "Speed up parsing by making `Source` index-based: it now tracks an integer position over the input string "
         "instead of materializing a list of (index, char) tuples.", ("tomlkit/source.py",)),
    Case("urllib3", "2.6.1", "2.6.2",
         "Fixed `HTTPResponse.read_chunked()` to properly handle leftover data in the decoder's buffer when reading "
         "compressed chunked responses.", ("src/urllib3/response.py",)),
    Case("werkzeug", "3.1.5", "3.1.6",
         "`safe_join` on Windows does not allow special devices names in multi-segment paths.",
         ("src/werkzeug/security.py",)),
    Case("werkzeug", "3.1.7", "3.1.8",
         "`Request.host` and `get_host` return the empty string if the header is missing or has invalid characters.",
         ("src/werkzeug/sansio/utils.py",)),
    Case("wsproto", "1.3.1", "1.3.2",
         "Fix type hints to allow BytesMessage to accept bytes again, as well as bytearray.",
         ("src/wsproto/events.py",)),
)  # fmt: skip
"""Tasks that were looked at while the gathering was made."""
HELD_BACK = (
    Case("bleach", "6.3.0", "6.4.0",
         "Fix XSS issue with sanitize_uri_value where disallowed schemes with Unicode invisible characters wouldn't "
         "be rejected.", ("bleach/sanitizer.py",)),
    Case("cattrs", "26.2.0", "26.2.1",
         "Fix heterogeneous tuples and NamedTuples with a member type containing a quote in its repr, like "
         "`tuple[Literal[\"a\"], int]`, crashing structuring code generation with `SyntaxError`.",
         ("src/cattrs/gen/__init__.py",)),
    Case("cattrs", "26.2.0", "26.2.1",
         "Fix `transform_error` listing the extra keys of a `ForbiddenExtraKeysError` in set iteration order, which "
         "made the message differ between runs; the keys are now sorted.", ("src/cattrs/v.py",)),
    Case("freezegun", "1.5.4", "1.5.5", "Allow parametrized arguments called 'func'.", ("freezegun/api.py",)),
    Case("invoke", "3.0.1", "3.0.2",
         "Define a custom __repr__ for `invoke.runners.Promise` so it can be displayed in interactive sessions or "
         "other debug contexts, without running afoul of AttributeError.", ("invoke/runners.py",)),
    Case("invoke", "3.0.2", "3.0.3",
         "Reverted the @task return value type hint change; it actually just makes things worse.",
         ("invoke/tasks.py",)),
    Case("jsonschema", "4.25.0", "4.25.1",
         "Fix an incorrect required argument in the Validator protocol's type annotations.",
         ("jsonschema/protocols.py",)),
    Case("jsonschema", "4.25.1", "4.26.0",
         "Decrease import time by delaying importing of urllib.request.", ("jsonschema/validators.py",)),
    Case("natsort", "8.3.1", "8.4.0",
         "Inputs with spaces near adjascent to the extension are now sorted correctly for `os_sorted` on Windows.",
         ("natsort/utils.py",)),
    Case("oauthlib", "4.0.0", "4.0.1",
         "The device code flow token endpoint did not validate the `device_code` parameter. "
         "`DeviceCodeGrant.validate_token_request` now calls a new `DeviceCodeGrant.validate_device_code()` which "
         "rejects missing or unknown device codes and delegates the code's authorization status to a new required "
         "`RequestValidator.validate_device_code()` hook.",
         ("oauthlib/oauth2/rfc8628/grant_types/device_code.py", "oauthlib/oauth2/rfc8628/request_validator.py")),
    Case("pyflakes", "4.0.3", "4.1.0", "Fix handling of `Literal` and `Annotated` for lazy imports.",
         ("pyflakes/checker.py",)),
    Case("pyflakes", "4.0.2", "4.0.3",
         "Fix handling of unconventional `NamedTuple` / `TypedDict` argument 1.", ("pyflakes/checker.py",)),
    Case("responses", "0.26.1", "0.26.2",
         "Fixed `query_param_matcher` mutating the caller's params dict when numeric values are provided.",
         ("responses/matchers.py",)),
    Case("responses", "0.26.1", "0.26.2",
         "Default headers (such as Content-Type, Date and Server) are now stripped from recorded files regardless of "
         "header name case.", ("responses/_recorder.py",)),
)  # fmt: skip
"""Tasks of packages that were not looked at."""


@attrs.frozen
class Found:
    """What was gathered for one case."""

    package: str
    tokens: int
    seconds: float
    whole: int
    partly: int
    """Files that are shown in part, with the changed definition."""
    missed: tuple[str, ...]
    unnamed: int
    """Files that the listing does not name."""

    @property
    def files(self) -> int:
        """How many files were changed."""
        return self.whole + self.partly + len(self.missed)


def changed_lines(path: str, before: str, after: str) -> set[int]:
    """Return the lines of *before* that must be shown: those of the definition in which most was changed."""
    lines, parts, hits = before.splitlines(), definitions(path, before), {}
    outside: set[int] = set()
    matcher = difflib.SequenceMatcher(None, lines, after.splitlines(), autojunk=False)
    for kind, first, last, _, _ in matcher.get_opcodes():
        if kind == "equal":
            continue
        for number in range(first + 1, max(last, first + 1) + 1):
            around = [part for part in parts if part.first_line <= number <= part.last_line]
            if around:
                inner = max(around, key=lambda part: part.depth)
                hits[inner] = hits.get(inner, 0) + 1
            elif not lines[number - 1 : number] or not lines[number - 1].startswith(("import ", "from ", "__version")):
                outside.add(number)
    if not hits:
        return outside
    most = max(hits, key=lambda part: hits[part])
    return set(range(most.first_line, most.last_line + 1))


def find(case: Case, sources: Path) -> Found:
    """Gather for *case* and say what of its files is shown."""
    before, after = (sources / f"{case.package}-{version}" for version in (case.before, case.after))
    begun = time.perf_counter()
    text = gather(before, case.task, limit_tokens=LIMIT_TOKENS)
    seconds = time.perf_counter() - begun
    listing = {line.split(" ")[0] for line in text.partition("\n\n")[0].splitlines()}
    whole, partly, missed = 0, 0, []
    for path in case.gold:
        shown = shown_lines(text, path)
        if shown is None:
            whole += 1
        elif shown and changed_lines(path, (before / path).read_text(), (after / path).read_text()) <= shown:
            partly += 1
        else:
            missed.append(path)
    unnamed = sum(path not in listing for path in case.gold)
    return Found(case.package, len(text.encode()) // 4, seconds, whole, partly, tuple(missed), unnamed)


def shown_lines(text: str, path: str) -> set[int] | None:
    """Return the lines of *path* that *text* shows; ``None``: all."""
    name = re.escape(path)
    if re.search(rf"^File {name}:$", text, re.MULTILINE):
        return None
    shown: set[int] = set()
    for first, last in re.findall(rf"^File {name}, lines (\d+)-(\d+) of", text, re.MULTILINE):
        shown.update(range(int(first), int(last) + 1))
    return shown


def fetch(case: Case, sources: Path) -> None:
    """Download what *case* needs and is not there."""
    for version in (case.before, case.after):
        if (sources / f"{case.package}-{version}").is_dir():
            continue
        with tempfile.TemporaryDirectory() as folder:
            wanted = f"{case.package}=={version}"
            command = ["-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:", "-d", folder, wanted]
            subprocess.run([sys.executable, *command], check=True)
            [archive] = Path(folder).glob("*.tar.gz")
            with tarfile.open(archive) as packed:
                packed.extractall(Path(folder) / "unpacked", filter="data")
            [top] = (Path(folder) / "unpacked").iterdir()
            top.rename(sources / f"{case.package}-{version}")


def many_files_seconds() -> float:
    """Return how long gathering takes in a workspace of ten thousand files."""
    with tempfile.TemporaryDirectory() as folder:
        for number in range(MANY_FILES):
            place = Path(folder) / f"part_{number // 100}" / f"module_{number}.py"
            place.parent.mkdir(exist_ok=True)
            body = f'    """Give back item {number}."""\n    return {number}\n\n\n' * 8
            place.write_text(f"def item_{number}(order):\n{body}")
        begun = time.perf_counter()
        gather(folder, "Fix item_777 of the order", limit_tokens=LIMIT_TOKENS)
        return time.perf_counter() - begun


def summary(found: list[Found]) -> dict[str, Any]:
    """Return the shares and means of *found*."""
    files = sum(one.files for one in found)
    return {
        "tasks": len(found),
        "packages": len({one.package for one in found}),
        "files": files,
        "found": round(sum(one.whole + one.partly for one in found) / files, 3),
        "whole": round(sum(one.whole for one in found) / files, 3),
        "named": round(1 - sum(one.unnamed for one in found) / files, 3),
        "tokens": round(sum(one.tokens for one in found) / len(found)),
        "seconds": round(sum(one.seconds for one in found) / len(found), 2),
        "missed": [f"{one.package}: {path}" for one in found for path in one.missed],
    }


def lists() -> Iterator[tuple[str, tuple[Case, ...]]]:
    """Yield both lists with their names."""
    yield "tuned", TUNED
    yield "held_back", HELD_BACK


def main() -> None:
    """Measure, print, write the results, and fail if an aim is missed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sources", type=Path, required=True, help="folder of unpacked source distributions")
    sources = parser.parse_args().sources
    sources.mkdir(exist_ok=True)
    results: dict[str, Any] = {}
    for name, cases in lists():
        for case in cases:
            fetch(case, sources)
        results[name] = summary([find(case, sources) for case in cases])
        print(name, results[name])
    results["many_files_seconds"] = round(many_files_seconds(), 2)
    print(f"{MANY_FILES:,} files: {results['many_files_seconds']} s")
    print(record("gathering", results))
    fails = [n for n, _ in lists() if results[n]["found"] < AIM_FOUND or results[n]["named"] < AIM_NAMED]
    if fails or results["many_files_seconds"] > AIM_SECONDS:
        sys.exit(f"an aim is missed: {', '.join(fails) or 'time'}")


if __name__ == "__main__":
    main()
