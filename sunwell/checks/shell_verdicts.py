"""What the exit code of a shell command says: that something failed, or only the answer to a question."""

import re
import shlex
from collections.abc import Mapping, Sequence

import attrs


@attrs.frozen
class CommandKind:
    """What a command line is for, as far as its exit code goes."""

    is_look: bool
    """Whether its exit code is no verdict: it looks something up, or its parts cannot be told apart."""
    is_test: bool
    """Whether it runs tests."""
    is_server: bool
    """Whether it runs until somebody ends it, so that a time-out is no failure."""
    may_change_files: bool
    """Whether it may change files of the workspace."""


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_ANSWERS = _set(
    """grep egrep fgrep zgrep rg ag ack diff cmp comm test [ [[ pgrep pidof which command type hash
    whereis expr id getent mountpoint"""
)
"""Programs whose exit code 1 is an answer."""
_LOOKS = _ANSWERS | _set(
    """ls dir stat find fd cat head tail less more wc file du df tree readlink realpath dirname
    basename pwd echo printf true date env printenv uname hostname whoami ps jq yq sort uniq cut
    tr nl od xxd hexdump strings md5sum sha1sum sha256sum column man sleep export set cd pushd
    popd source . ulimit trap wait kill killall pkill jobs alias unset read :"""
)
"""Programs that only show something, or prepare what follows."""
_SETUP = _set("cd pushd popd source . export set unset ulimit trap alias sleep echo printf true :")
_GIT_LOOKS = _set(
    """diff status log show grep ls-files ls-tree ls-remote rev-parse rev-list check-ignore merge-base
    branch blame describe cat-file remote config reflog shortlog tag whatchanged show-ref
    symbolic-ref for-each-ref fetch version"""
)
_PACKAGE_LOOKS = _set(
    "show list index search view ls outdated info freeze check config why explain audit help"
)
_PACKAGERS = _set("pip pip3 npm yarn pnpm cargo gem brew apt apt-get apt-cache dnf conda uv poetry")
_WRITING: Mapping[str, tuple[str, ...]] = {
    "sort": ("-o", "--output"),
    "find": ("-delete", "-exec", "-ok", "-fprint"),
    "fd": ("-x", "-X", "--exec"),
    "yq": ("-i", "--inplace"),
    "sed": ("-i", "--in-place"),
}
"""Options with which a program that shows something changes files."""
_WRAPPERS = _set("sudo time nice nohup stdbuf setsid command exec builtin")
_BLOCKS = _set("if then else elif fi for while until do done case esac function select { }")
_VALUED = _set("-c -n -s -k --signal --kill-after -u")
_ASSIGNED = r"[A-Za-z_]\w*="
_COMMENT = r"(?m)(?:^|(?<=\s))#[^\n'\"]*$"
_HERE = (
    "(?s)"
    r"<<-?\s*(['\"]?)(\w+)\1([^\n]*)\n.*?(?:\n[ \t]*\2[ \t]*(?=\n|$)|$)"
)
_TESTS = (
    r"(?:^|[\s/])(?:py\.?test|unittest|doctest|tox|nox|nosetests|jest|vitest|mocha|ava|karma|cypress|"
    r"playwright|"
    r"rspec|minitest|phpunit|pest|ctest|bats|prove|busted|nextest|trial|behave|robot|hypothesis|stestr)\b"
    r"|\b(?:npm|yarn|pnpm|bun|deno|go|cargo|dotnet|swift|mix|rake|flutter|dart|zig|sbt|lein|stack|cabal|"
    r"bazel|"
    r"gradle|gradlew|mvn|mvnw|make|just|invoke|composer|rails|django-admin|node|hatch|pdm|task|meson)\b[^|"
    r";&]*"
    r"(?<![\w/])-{0,2}(?:run\s+)?(?:tests?|check|verify|spec)(?:[:\w-]*)\b"
    r"|(?:^|[\s/])(?:run[-_]?)?tests?(?:[-_]\w+)*\.(?:py|sh|js|ts|rb|mjs|pl)\b"
    r"|(?:^|\s)\S*(?:_test|\.test|\.spec|_spec)\.\w+"
    r"|\bmanage\.py\s+test\b|(?:^|[\s/])run[-_]tests?\b|(?:^|\s)\S*\.ci/\w+"
)
_SERVERS = (
    r"\b(?:serve|server|runserver|uvicorn|gunicorn|hypercorn|daphne|http\.server|flask\s+run|"
    r"(?:run\s+)?dev|start|"
    r"watch|nodemon|tail\s+-[fF]|compose\s+up|docker\s+run|live|preview|listen|daemon|celery|redis-server)\b"
    r"|--watch\b|--reload\b"
)
_CHECKERS = (
    r"(?:^|[\s/])(?:mypy|pyright|pylint|flake8|pyflakes|bandit|vulture|tsc|shellcheck|yamllint|hadolint|"
    r"ruff\s+check(?!.*--fix)|eslint(?!.*--fix)|black\s+--check|isort\s+--check|cargo\s+(?:check|clippy)|"
    r"go\s+vet|python3?\s+-m\s+(?:py_compile|compileall|mypy|pyflakes)|node\s+--check|php\s+-l|ruby\s+-c|"
    r"(?:npm|yarn|pnpm|bun)\s+(?:run\s+)?build|(?:cargo|go|dotnet|swift|gradle|mvn)\s+(?:build|compile)|"
    r"bash\s+-n|sh\s+-n|git\s+(?:add|commit|push|stash\s+list)|mkdir|touch\s+-a|gcc\s+-fsyntax-only)\b"
)


def kind_of(command: str) -> CommandKind:
    """Return what *command* is for. A line that cannot be read is no verdict, and may change files."""
    lists = _lists(command)
    parts = [part for chain in lists or () for part in chain]
    is_test = any(re.search(_TESTS, text) for text in ([part.text for part in parts] or [command]))
    is_server = re.search(_SERVERS, command) is not None and ("--watch" in command or not is_test)
    if lists is None:
        return CommandKind(True, is_test, is_server, True)
    return CommandKind(_is_look(lists), is_test, is_server, any(part.may_change_files for part in parts))


@attrs.frozen
class _Part:
    """One pipeline of a chain: its last program counts for the exit code."""

    words: tuple[str, ...]
    """The words of its last program, without wrappers and assignments."""
    text: str
    is_negated: bool
    is_alternative: bool
    """Whether it only runs if what is before it failed."""
    may_change_files: bool

    @property
    def program(self) -> str:
        return self.words[0].rsplit("/", 1)[-1] if self.words else ""

    @property
    def is_answer(self) -> bool:
        """Whether its exit code 1 answers a question."""
        return (
            self.is_negated
            or self.program in _ANSWERS
            or self.words[:2] in (("git", "diff"), ("git", "grep"))
        )

    @property
    def is_look(self) -> bool:
        """Whether its exit code is no verdict on anything."""
        return self.is_answer or not self.words or _shows(self.words)


def _shows(words: tuple[str, ...]) -> bool:
    program, rest = words[0].rsplit("/", 1)[-1], words[1:]
    plain = [word for word in rest if not word.startswith("-")]
    if any(word.startswith(_WRITING.get(program, ())) for word in rest):
        return False
    if program in _LOOKS or (rest and rest[-1] in ("--version", "--help", "-h", "-V", "version")):
        return True
    if program == "git":
        return bool(plain) and plain[0] in _GIT_LOOKS
    if program in _PACKAGERS:
        return bool(plain) and plain[0] in _PACKAGE_LOOKS
    return program in ("sed", "awk", "gawk")


def _is_look(lists: Sequence[Sequence[_Part]]) -> bool:
    """Whether the exit code of the last chain is no verdict: it is one that answers, or it may be."""
    strict = any(
        part.words[:1] == ("set",) and any("e" in word for word in part.words[1:]) for part in lists[0]
    )
    chain = [part for one in lists for part in one] if strict else list(lists[-1])
    if any(part.program in _BLOCKS for part in chain):
        return True  # which of its commands gave the exit code is not known
    if chain[-1].is_alternative and chain[-1].is_look:
        return True  # "cmd || true": whatever happened, nothing is said to have failed
    deciding = [part for part in chain if part.program not in _SETUP]
    return not deciding or deciding[-1].is_look or any(part.is_answer for part in deciding)


def _lists(command: str) -> list[list[_Part]] | None:
    """Return the chains of *command*, each of its pipelines; ``None`` if it cannot be read."""
    text = re.sub(_COMMENT, "", re.sub(_HERE, r" \3\n", command).replace("\\\n", " "))
    try:
        lexer = shlex.shlex(text, posix=True, punctuation_chars="();<>|&\n")
        lexer.whitespace = " \t\r"
        lexer.commenters = ""
        words = list(lexer)
    except ValueError:
        return None
    lists: list[list[_Part]] = [[]]
    segment: list[str] = []
    joint = ""

    def end() -> None:
        nonlocal segment
        if segment:
            lists[-1].append(_part(segment, joint == "||"))
        segment = []

    for word in words:
        if word in ("&&", "||"):
            end()
            joint = word
        elif re.fullmatch(r"[;\n&()]+", word) and word != "&&":
            end()
            joint = ""
            if word.strip("()") and lists[-1]:
                lists.append([])
        else:
            segment.append(word)
    end()
    lists = [chain for chain in lists if chain]
    return lists or None


def _part(words: list[str], is_alternative: bool) -> _Part:
    pipeline: list[list[str]] = [[]]
    writes = False
    skip = False
    for word in words:
        if word in ("|", "|&"):
            pipeline.append([])
        elif re.fullmatch(r"[<>&]+", word):
            skip = True
            writes = writes or ">" in word
        elif skip:
            skip = False
            if word in ("/dev/null", "1", "2", "-"):
                writes = False
        else:
            pipeline[-1].append(word)
    programs = [_bare(each) for each in pipeline]
    negated = bool(words) and words[0] == "!"
    text = " ".join(words)
    harmless = all(not one or _shows(tuple(one)) or one[0].rsplit("/", 1)[-1] in _ANSWERS for one in programs)
    is_check = re.search(_TESTS, text) is not None or re.search(_CHECKERS, text) is not None
    tee = any(one[:1] == ["tee"] for one in programs)
    return _Part(
        tuple(programs[-1]), text, negated, is_alternative, writes or tee or not (harmless or is_check)
    )


def _bare(words: list[str]) -> list[str]:
    """Return *words* from the program on: without assignments, and without programs that run another one."""
    rest = [word for word in words if word != "!"] if words[:1] == ["!"] else list(words)
    while rest:
        name = rest[0].rsplit("/", 1)[-1]
        if re.match(_ASSIGNED, rest[0]) or (name == "env" and len(rest) > 1):
            rest = rest[1:]
        elif name == "timeout" and len(rest) > 1:
            rest = rest[1:]
            while rest and rest[0].startswith("-"):
                rest = rest[2:] if rest[0] in _VALUED else rest[1:]
            rest = rest[1:]
        elif name in _WRAPPERS and len(rest) > 1 and not rest[1].startswith("-"):
            rest = rest[1:]
        elif name in ("sh", "bash", "zsh", "dash") and len(rest) > 2 and rest[1] in ("-c", "-lc", "-ec"):
            inner = _lists(rest[2])
            return list(inner[-1][-1].words) if inner else rest
        else:
            return rest
    return rest
