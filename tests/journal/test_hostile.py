"""A journal is data: whatever is in it, a command gives a result or one sentence, soon, in little memory."""

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sunwell.cli.main import cli
from sunwell.journal.ownership import adopt

DATA = Path(__file__).parent / "data"
OLD_RUNS = DATA.parents[1] / "data" / "journals"
JOURNALS = [DATA / "delegated-1.6.jsonl", *sorted(OLD_RUNS.glob("*/runs/*/journal.jsonl"))]
LINES = {path: path.read_bytes().splitlines() for path in JOURNALS}
KEYS = {"ANTHROPIC_API_KEY": "any", "ANTHROPIC_BASE_URL": "http://127.0.0.1:9"}  # where nobody listens
READING = [
    ("show", "bad", "-v", "--spans"),
    ("export", "bad"),
    ("export", "bad", "--format", "chrome-trace"),
    ("export", "bad", "--format", "otlp-json"),
]
USING = [
    ("adopt", "bad"),
    ("undo", "bad"),
    ("replay", "bad", "--accept-changes"),
    ("fork", "bad", "--at", "run/nowhere:7", "--accept-changes"),
]
HOSTILE = [
    b"NaN", b"Infinity", b"-1", b"-0.5", b"0", b"1.5", b"1e400", b"1e308", b"7" * 9999,
    b"9223372036854775808",
    b'"1E+999999999"', b'"1E-999999999"', b'"NaN"', b'"-1"', b'"sNaN"', b"null", b"true", b"[]", b"{}", b'""',
    b"[null]", b"[[1,2],3]", b'{"a":{"b":[1,{"c":2}]}}', b"[" * 3000 + b"]" * 3000,
    b'{"a":' * 80 + b"1" + b"}" * 80, b'"\\ud800"', b'"\\u0000"', b'"../../../etc/passwd"', b'"/etc/passwd"',
    b'"a\\u001b[2Jb"', b'"\xff\xfe"', b'"' + b"x" * 200_000 + b'"', b'"run/work"',
    b'"run/' + b"w/" * 500 + b'"',
]  # fmt: skip


def sealed(fields: dict[str, Any], hole: bytes = b"") -> bytes:
    """Return a line whose checksum is right, with *hole* in place of the text ``@``."""
    body = json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode().replace(b'"@"', hole)[:-1]
    return body + b',"crc":"%08x"}' % zlib.crc32(body + b"}")


def fields_of(line: bytes) -> dict[str, Any]:
    fields = json.loads(line)
    del fields["crc"]
    return dict(fields)


def places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of each value in *value*."""
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        yield (*above, key)
        if isinstance(item, dict | list):
            yield from places(item, (*above, key))


def replaced(draw: st.DrawFn, lines: list[bytes]) -> list[bytes]:
    """Put a hostile value in any place of any line, or take it out."""
    number = draw(st.integers(0, len(lines) - 1))
    fields = fields_of(lines[number])
    *above, last = draw(st.sampled_from(list(places(fields))))
    inner = fields
    for key in above:
        inner = inner[key]
    inner[last] = "@"
    hole = draw(st.sampled_from(HOSTILE))
    if draw(st.integers(0, 9)) == 0:
        del inner[last]
    return [*lines[:number], sealed(fields, hole), *lines[number + 1 :]]


def shuffled(draw: st.DrawFn, lines: list[bytes]) -> list[bytes]:
    """Leave a line out, repeat it, swap it with another, or give it another kind; then number all anew."""
    one, other = (draw(st.integers(0, len(lines) - 1)) for _ in range(2))
    changed = list(lines)
    match draw(st.sampled_from(["drop", "repeat", "swap", "forge"])):
        case "drop":
            del changed[one]
        case "repeat":
            changed.insert(other, lines[one])
        case "swap":
            changed[one], changed[other] = lines[other], lines[one]
        case "forge":
            changed[one] = sealed(fields_of(lines[one]) | {"kind": fields_of(lines[other])["kind"]})
    if draw(st.booleans()):
        return changed
    return [sealed(fields_of(line) | {"seq": number}) for number, line in enumerate(changed)]


def cut(draw: st.DrawFn, lines: list[bytes]) -> list[bytes]:
    """End anywhere, or have other bytes anywhere."""
    content = b"\n".join(lines)
    at = draw(st.integers(0, len(content)))
    return [content[:at] + draw(st.sampled_from([b"", b"\0\0", b"\xff", b"\r", b"\n", b"{"])) * 2]


@st.composite
def damaged(draw: st.DrawFn) -> tuple[Path, bytes]:
    """Return a recorded run, and its journal with one damage."""
    journal = draw(st.sampled_from(JOURNALS))
    how = draw(st.sampled_from([replaced, replaced, replaced, shuffled, cut]))
    return journal, b"\n".join(how(draw, LINES[journal])) + b"\n"


def invoked(root: Path, *words: str) -> Result:
    return CliRunner(env=KEYS).invoke(cli, [*words, "-w", str(root)])


def check(root: Path, *words: str) -> Result:
    """Run a command: its result, or one sentence, within seconds; raises whatever is a bug."""
    began = time.perf_counter()
    done = invoked(root, *words)
    assert time.perf_counter() - began < 5, words  # a second, on a machine that is busy
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code in (0, 1, 2, 3, 130), (words, done.output)
    assert "Traceback" not in done.output
    lines = done.stderr.splitlines()
    said = [line for line in lines if line.startswith("sunwell: ")]
    assert done.exit_code != 2 or said == lines[-1:], (words, lines)
    # Commands that go on from a run may have told their steps by then.
    assert done.exit_code != 2 or words[0] in ("replay", "fork") or len(lines) == 1, (words, lines)
    return done


@given(damaged())
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_a_damaged_journal_gives_a_result_or_a_sentence(tmp_path: Path, drawn: tuple[Path, bytes]) -> None:
    """Any value in any place, lines in any order, any end; for commands that read and that go on from it."""
    source, content = drawn
    root = tmp_path / hashlib.sha256(content).hexdigest()[:16]
    run = root / ".sunwell" / "runs" / "bad"
    shutil.rmtree(root, ignore_errors=True)
    run.mkdir(parents=True)
    (run / "journal.jsonl").write_bytes(content)
    if (source.parent / "originals").is_dir():
        shutil.copytree(source.parent / "originals", run / "originals")
    [listed] = json.loads(check(root, "runs", "--json").stdout)["runs"]
    assert "error" in listed or listed["run_id"] == "bad"
    for command in (*READING, *USING):
        check(root, *command)
    shutil.rmtree(root)


@pytest.mark.parametrize("value", [b"[]", b"[5]", b'[["x","y"]]', b'[[1,"NaN"]]', b"[[-1,null]]", b"{}"])
def test_other_workers_than_were_started_are_damage(tmp_path: Path, value: bytes) -> None:
    """What each worker may take is noted when it starts, and looked up when the run is played again."""
    [path] = (one for one in JOURNALS if "orchestrated" in one.parts)
    run = tmp_path / ".sunwell" / "runs" / "bad"
    run.mkdir(parents=True)
    lines = [fields_of(line) for line in LINES[path]]
    changed = [line | {"value": "@"} if line.get("name", "")[:6] == "start-" else line for line in lines]
    assert changed != lines
    (run / "journal.jsonl").write_bytes(b"".join(sealed(line, value) + b"\n" for line in changed))
    adopted = check(tmp_path, "adopt", "bad")
    done = check(tmp_path, "replay", "bad", "--accept-changes") if adopted.exit_code == 0 else adopted
    assert (done.exit_code, "sunwell: the journal" in done.stderr) == (2, True), done.output


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a workspace with a good run and one called "bad", which the user has adopted."""
    for name in ("bad", "good"):
        run = tmp_path / ".sunwell" / "runs" / name
        (run / "originals").mkdir(parents=True)
        shutil.copy(DATA / "delegated-1.6.jsonl", run / "journal.jsonl")
        (run / "originals" / "index.jsonl").write_text('{"path":"a","before":null}\n')
        (run / "journal.lock").write_text("1\n")
        adopt(tmp_path, name)
    return tmp_path


def endless(place: Path, start: bytes, size: int) -> None:
    """Write *start*, then a hole up to *size* bytes, of which no disk has any."""
    with place.open("wb") as file:
        file.write(start)
        try:
            file.truncate(size)
        except OSError:
            pytest.skip("requires a file system with large sparse files")


def device(place: Path) -> None:
    try:
        os.mknod(place, 0o600 | 0o020000, os.makedev(1, 5))
    except OSError:
        pytest.skip("requires the right to make devices")


def listening(place: Path) -> None:
    here = Path.cwd()
    os.chdir(place.parent)  # the name of a socket is short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(place.name)
    finally:
        os.chdir(here)


def linked(place: Path) -> None:
    (place.parent / "kept").write_bytes((DATA / "delegated-1.6.jsonl").read_bytes())
    place.symlink_to("kept")


FIRST = LINES[JOURNALS[0]][0] + b"\n"
PLACES: dict[str, Callable[[Path], Any]] = {
    "pipe": os.mkfifo,
    "folder": Path.mkdir,
    "socket": listening,
    "device": device,
    "link": linked,
    "link-to-itself": lambda place: place.symlink_to(place.name),
    "link-to-zeros": lambda place: place.symlink_to("/dev/zero"),
    "gone": lambda place: None,
    "empty": lambda place: place.write_bytes(b""),
    "zeros": lambda place: place.write_bytes(b"\0" * 5000),
    "no-utf-8": lambda place: place.write_bytes(FIRST + b"\xff\xfe" * 2000 + b"\n" + FIRST),
    "hole": lambda place: endless(place, b"", 1 << 40),
    "hole-after-a-line": lambda place: endless(place, FIRST, 1 << 40),
    "line-of-500-mb": lambda place: endless(place, FIRST + b'{"seq":1,"kind":"', 500 << 20),
    "deep": lambda place: place.write_bytes(b'{"seq":' + b"[" * 2_000_000 + b"\n"),
}


@pytest.mark.parametrize(
    ("name", "kind"),
    [(name, kind) for name in ("journal.jsonl", "originals/index.jsonl") for kind in PLACES]
    + [(name, kind) for name in ("journal.lock", "adopted") for kind in ("pipe", "folder", "link", "hole")],
)
def test_nothing_in_place_of_a_file_hangs_or_hides_the_others(root: Path, name: str, kind: str) -> None:
    """Every command says one sentence or what it found; the good run is listed, shown and removed."""
    place = root / ".sunwell" / "runs" / "bad" / name
    place.unlink()
    PLACES[kind](place)
    done = check(root, "runs", "--json")
    listed = {run["run_id"]: run for run in json.loads(done.stdout)["runs"]}
    assert (done.exit_code, listed["good"]["status"]) == (0, "ok")
    if name == "journal.jsonl" and kind != "gone":
        assert listed["bad"]["error"] or kind == "hole-after-a-line"
        assert any("bad" in line and "damaged" in line for line in check(root, "runs").stdout.splitlines())
    for command in (READING[0], READING[1], *USING[1:]):
        check(root, *command)
    assert check(root, "show", "good").exit_code == 0
    done = check(root, "prune", "--keep", "0", "--json")
    told = json.loads(done.stdout)
    assert "good" in told["removed"]
    assert done.exit_code == (3 if told["left"] else 0)


MEASURED = """
import json, resource, sys
from click.testing import CliRunner
from sunwell.cli.main import cli
def grown(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
CliRunner().invoke(cli, ["show", "good", "-w", sys.argv[1]])
before = grown()
codes = [CliRunner().invoke(cli, [*words, "-w", sys.argv[1]]).exit_code for words in json.loads(sys.argv[2])]
print(json.dumps({"codes": codes, "kib": grown() - before}))
"""


@pytest.mark.timeout(280)
def test_memory_does_not_grow_with_what_is_there(root: Path) -> None:
    """Less than 200 MB more than for a good run, in a process of its own that looks at all of them."""
    kinds = ("line-of-500-mb", "hole-after-a-line", "crowded")
    fields = fields_of(LINES[JOURNALS[0]][1])
    crowd = FIRST + sealed(fields | {"more": "@"}, b"[" + b"[]," * 6_000_000 + b"1]") + b"\n"
    for kind in kinds:
        run = root / ".sunwell" / "runs" / kind
        shutil.copytree(root / ".sunwell" / "runs" / "bad", run)
        (run / "journal.jsonl").unlink()
        PLACES.get(kind, lambda place: place.write_bytes(crowd))(run / "journal.jsonl")
    words = [["runs"], *([word, kind] for kind in kinds for word in ("show", "undo", "replay"))]
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(root), json.dumps(words)],
        capture_output=True, check=True,
    )  # fmt: skip
    told = json.loads(done.stdout)
    assert told["codes"][0] == 0
    assert told["kib"] < 200 * 1024 * (1 if sys.platform == "linux" else 1024)
