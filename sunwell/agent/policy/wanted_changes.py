"""Whether the words of a task ask for changed files, and which files they name for it. English only."""

import re
from collections.abc import Iterator, Sequence
from typing import Literal

import attrs

from sunwell.agent.policy.task_words import ACTIONS, split_material

Wish = Literal["change", "answer", "run", "unknown"]
"""``change``: files are to be changed; ``answer``: a question is to be answered or a text to be written;
``run``: something is to be run and reported; ``unknown``: the words do not say."""


@attrs.frozen
class WantedChanges:
    """What a task asks for."""

    wish: Wish
    files: tuple[str, ...] = ()
    """Paths that are named as something to be changed."""
    is_prose: bool = False
    """Whether a text for other people or a plan is to be written, in which "I will" is no announcement."""
    expects_failure: bool = False
    """Whether a test or a command that fails is what is wanted."""


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_QUESTION = (
    r"(?:what|where|which|who|whose|why|how|when|whether|is|are|was|were|does|do|did|can i|could i|should|"
    r"has|have|"
    r"will|would it|explain|describe|tell|show|list|count|find out|summari[sz]e|review|analy[sz]e|compare|"
    r"investigate|explore|assess|evaluate|examine|check|inspect|identify|look|read|report|plan|propose|"
    r"suggest|"
    r"recommend|estimate|outline|discuss|audit|diagnose|locate|name|classify|brainstorm|think|search|"
    r"answer|calculate|compute|say)\b"
)
"""How a clause begins that asks for an answer."""
_RUN = r"(?:re-?run|run|execute|build|compile|test|verify|validate|launch)\b"
_EDITS = _set(
    """fix rename refactor replace remove delete edit change update modify correct repair patch bump
    rewrite migrate convert extract inline move add append insert implement extend adapt adjust
    tweak drop deprecate disable enable upgrade downgrade unify simplify split merge port
    modernize modernise cleanup clean resolve annotate document restructure reorganize
    reorganise parallelize localize sort strip revert restore pin decouple optimize optimise
    harden wire hook integrate install introduce"""
)
_MAKES = _set("write create generate make build develop produce scaffold set define draft design provide")
_CODE = (
    r"\b(?:functions?|methods?|class(?:es)?|modules?|endpoints?|routes?|handlers?|tests?|bugs?|files?|"
    r"imports?|"
    r"docstrings?|decorators?|parameters?|arguments?|flags?|options?|packages?|components?|hooks?|pages?|"
    r"views?|"
    r"models?|schemas?|migrations?|configs?|configuration|settings?|readme|changelog|dockerfile|makefile|"
    r"scripts?|"
    r"cli|api|database|quer(?:y|ies)|variables?|constants?|type hints?|annotations?|dependenc(?:y|ies)|"
    r"workflows?|"
    r"pipelines?|validation|logging|caching|pagination|authentication|error handling|race|leak|crash|"
    r"deadlock|"
    r"regression|typos?|lint(?:er)? (?:errors?|warnings?)|warnings?|code ?base|repo(?:sitory)?|project|"
    r"workspace|"
    r"templates?|stylesheets?|css|html|buttons?|forms?|loops?|exceptions?|timeouts?|defaults?|versions?|"
    r"headers?|"
    r"comments?|cod(?:e|ing)|docs|documentation|folders?|layouts?|plugins?|library|services?|apps?|"
    r"off-by-one|null checks?)\b"
)
_MADE_AS_FILES = (
    r"[a-z-]+ (?:(?!(?:of|about|on|for|that|which|from|with|in)\b)[\w`'/-]+ ){0,4}(?:new files?|"
    r"files? (?:named|called)|modules?|"
    r"(?<!how )tests?|test suites?|endpoints?|packages?|migrations?|components?|readme|changelog|"
    r"dockerfile|makefile|folders?|"
    r"layouts?)\b|.*\b(?:in|into|to|inside) (?:the|this|our|my) (?:project|repo(?:sitory)?|code ?base|"
    r"workspace|app|package|folder)\b"
)
_VAGUE = _set("extract convert simplify sort merge annotate split strip unify inline introduce")
"""Verbs of change whose result may as well be an answer."""
_MOVES = _set("convert extract port split merge move rename migrate drop remove delete")
"""Verbs after which their object may be gone: other files take its place."""
_SUMS = r"add (?:up|together)\b|add (?:all |the |these )*(?:numbers|values|amounts|totals?|figures)\b"
_NOT_NOW = (
    r"\b(?:(?:do not|don't|dont|never|without|no need to|not) (?:\w+ ){0,2}(?:chang|edit|modif|touch|writ|"
    r"mak|implement|fix|"
    r"appl)\w*(?: (?:a|any|the|to))* ?(?:changes?|files?|anything|code|yet)(?! else| other| but)|"
    r"read[- ]only|dry run)\b"
)
_PROSE = (
    r"\b(?:e-?mails?|letters?|repl(?:y|ies)|messages? (?:to|for)|stor(?:y|ies)|poems?|speech|dialogues?|"
    r"tweets?|posts?|"
    r"announcements?|essays?|lyrics|songs?|haikus?|jokes?|scripts? for|newsletters?|invitations?|"
    r"role-?play|pretend|"
    r"cover letters?|scenes?|monologues?|press release)\b"
)
_PLANNED = (
    r"\b(?:plans?|propos\w+|outline|roadmap|strategy|steps|approach|(?:how|what) would you|what will you)\b"
)
_FAILURE = (
    r"\b(?:write|add|create|make|reproduce)\b[^.\n]*\b(?:failing tests?|tests? that (?:\w+ ){0,2}fails?|"
    r"reproduc\w+|"
    r"should (?:still )?fail|must fail|red test)\b|\breproduc(?:e|es|ing)\b"
)
_PATH = (
    r"(?<![\w@:/.*-])(?:\.{1,2}/)?(?:[\w@+-][\w.@+-]*/)*(?:[\w@+-][\w@+.-]*\.[A-Za-z]\w{0,9}|"
    r"\.[A-Za-z][\w-]+|Makefile|"
    r"Dockerfile|Jenkinsfile|Procfile|Rakefile|Gemfile|LICENSE)(?![\w/(])"
)
_NO_FILES = (
    "(?i)"
    r"(?:\d|v\d)[\d.]*\w?$|(?:e\.g|i\.e|etc|vs|cf|no|node\.js|vue\.js|next\.js|nuxt\.js|express\.js|"
    r"react\.js|d3\.js|"
    r"three\.js|asp\.net|[\w-]+\.(?:com|org|net|io|dev|app|ai|example|local|html?\#.*))$"
)
_KNOWN_ENDINGS = _set(
    """py pyi js jsx ts tsx mjs cjs vue svelte go rs java kt kts scala rb php c h cc cpp hpp cs swift m
    mm dart lua r jl ex exs erl hs ml clj sh bash zsh fish ps1 bat sql html htm css scss sass
    less md rst txt adoc tex json jsonl yaml yml toml ini cfg conf env xml csv tsv proto graphql
    gql tf hcl gradle lock log svg ipynb mk cmake dockerfile gitignore dockerignore editorconfig
    prettierrc eslintrc npmrc nix zig v vb pl pm po pot xsd wsdl j2 jinja tmpl template ejs hbs
    snap patch diff rake gemspec sbt"""
)
_REFERENCE = (
    r"(?:\blike|\bas in|\bfor|\bon|\babout|\bcover(?:s|ing)?|\bsee|\bfrom|\busing|\bwith|\bper|"
    r"\bfollow(?:ing)?|\bread(?:ing)?|\bbased on|\baccording to|"
    r"\bof|\bthan|\bafter|\bmatch(?:es|ing)?|\bstyle of|\bsimilar to|\bsame as|\bdescribed in|\bdefined in|"
    r"\bspecified in|\bspec in|\bgiven in|\bwithout|\bexcept|\bnot|\bnever|\bby|\bvia|\bagainst|"
    r"\bimport(?:s|ed|ing)?|\bcall(?:s|ed)?|"
    r"\brun|\bexecute|\bpython3?|\bpytest|\bnode|\bbash|\bsh|\bcopy|\buses?|\blook at|\bcheck|\bout of|"
    r"\bin the style of|"
    r"\bfound in|\blisted in|\bthat|\bwhich|\bwhere|\bleave|\bkeep|\bor|\bshown in|\bdocumented in|"
    r"\brules in|"
    r"\bconventions in|\binstructions in|\bthrough|\bpasses?|\bbug in|\bissue in|\bmentioned in|"
    r"\breported in|\bproblem in|\breproduces the \w+ in|"
    r"\bpipe|\bcompare|\bmove|\brename)\s*(?:the |our |its |this |file |module |\W)*$"
)
_CONTINUES = r"^\W*(?:,|and|&|,\s*and|as well as|plus|\+)?\W*$"
_CLAUSE = (
    "(?i)"
    r"[.;!?](?=\s|$)|\n|:(?=\s)|,?\s+(?:and then|then|and)\s+(?=[a-z]+\b)"
)
_COURTESY = (
    "(?i)"
    r"^(?:[\s\-*#>\d.)(]|please\b|kindly\b|could you\b|can you\b|would you\b|will you\b|you should\b|"
    r"i want you to\b|i need you to\b|"
    r"i'd like you to\b|i would like you to\b|we need to\b|we want to\b|i want to\b|i need to\b|help me\b|"
    r"let's\b|your task is to\b|also\b|"
    r"then\b|first\b|next\b|finally\b|now\b|and\b|hi\b|hello\b|hey\b|just\b|task:|todo:|in [`\w./-]+,|"
    r"to\b|,)+"
)


_MOST_READ = 20_000
"""Characters of a task that are read: what follows is material."""


def wanted_changes(task: str) -> WantedChanges:
    """Return what the words of *task* ask for. Fenced blocks are material and ask for nothing."""
    words, material = split_material(task[:_MOST_READ].replace("\u2019", "'"))
    plain = re.sub(r'"[^"\n]{0,300}"|“[^”\n]{0,300}”', " ", words)
    plain = re.sub(r"[^\S\n]+", " ", plain)  # the patterns go back over long blanks
    plain = re.sub(r"\n(?: ?\n)+", "\n\n", plain)
    lower = plain.lower()
    is_prose = re.search(_PROSE, lower) is not None
    expects = re.search(_FAILURE, lower) is not None
    files = tuple(dict.fromkeys(_targets(plain)))
    wish = _wish(plain, files, has_material=bool(material.strip()))
    if re.search(_NOT_NOW, lower) or (lower.rstrip().endswith("?") and wish != "change"):
        wish = "answer"
    is_prose = is_prose or (wish == "answer" and re.search(_PLANNED, lower) is not None)
    if wish == "change" and is_prose and not files:
        wish = "unknown"
    return WantedChanges(wish, files if wish == "change" else (), is_prose, expects)


def _wish(text: str, files: Sequence[str], *, has_material: bool) -> Wish:
    found: set[Wish] = set()
    for clause in _clauses(text):
        verb = re.sub(_COURTESY, "", clause.lower()).strip("`'\"* ")
        first = re.match(r"[a-z-]+", verb)
        if first is None:
            continue
        name = first.group().removeprefix("re-")
        if re.match(_QUESTION, verb):
            found.add("answer")
        elif name in _EDITS and re.match(_SUMS, verb) is None:
            named = files or (name not in _VAGUE and _names_file(text))
            if named or _is_of_code(text if re.match(_TAKES_UP, verb) else verb, has_material):
                found.add("change")
        elif name in _MAKES and (files or (re.match(_MADE_AS_FILES, verb) is not None and not has_material)):
            found.add("change")
        elif re.match(_RUN, verb):
            found.add("run")
        elif ACTIONS.get(name) == "read":
            found.add("answer")
    for wish in _BY_WEIGHT:
        if wish in found:
            return wish
    return "unknown"


_BY_WEIGHT: tuple[Wish, ...] = ("change", "answer", "run")
_TAKES_UP = r"[a-z-]+ (?:it|them|this|that|these|those|what|whatever|all|any)\b"


def _is_of_code(clause: str, has_material: bool) -> bool:
    """Whether *clause* is about code of the workspace; code within the task may be wanted back as text."""
    if has_material:
        return False
    return (
        re.search(_CODE, clause) is not None
        or re.search(r"`[^`\n]+`|\b\w+\(\)|\b[a-z]+_[a-z_]+\b|\b[A-Z][a-z]+[A-Z]\w*", clause) is not None
    )


def _clauses(text: str) -> Iterator[str]:
    at = 0
    for match in re.finditer(_CLAUSE, text):
        yield text[at : match.start()]
        at = match.end()
    yield text[at:]


def _names_file(text: str) -> bool:
    return any(_is_file(match.group()) for match in re.finditer(_PATH, text))


def _is_file(path: str) -> bool:
    name = path.rsplit("/", 1)[-1]
    if "." not in name or name.startswith("."):
        return True
    return name.rsplit(".", 1)[-1].lower() in _KNOWN_ENDINGS and re.fullmatch(_NO_FILES, path) is None


def _targets(text: str) -> Sequence[str]:
    """Return the paths in *text* that a clause with a verb of change names, not as a reference."""
    found: list[str] = []
    for clause in _clauses_with_paths(text):
        verb = re.match(r"[a-z-]+", re.sub(_COURTESY, "", clause.lower()).strip("`'\"* "))
        if (
            verb is None
            or verb.group() not in _EDITS | _MAKES
            or re.match(_SUMS, verb.string[verb.start() :])
        ):
            continue
        before, was_target = 0, False
        for match in re.finditer(_PATH, clause):
            path = match.group()
            if not _is_file(path):
                continue
            between = clause[before : match.start()]
            if before and re.match(_CONTINUES, between):
                is_target = was_target
            else:
                is_target = re.search(_REFERENCE, between.lower().rstrip("`'\"( ")) is None
                # Behind a reference, the rest of the clause belongs to it: "in the style of a.md and b.md".
                is_target = is_target and re.search(_TURN, between.lower()) is None
                if verb.group() in _MOVES and not before:
                    is_target = re.search(r"\b(?:in|to|into)\W*$", between.lower()) is not None and is_target
            if is_target:
                found.append(path.removeprefix("./"))
            before, was_target = match.end(), is_target
    return found


_TURN = (
    r"\b(?:so that|such that|which|that|because|since|as|like|without|except|unless|if|when|where|using|"
    r"based on|"
    r"according to|from|instead of|but|currently|already)\b"
)


def _clauses_with_paths(text: str) -> Iterator[str]:
    """Yield the clauses of *text*; a dot within a path ends none, and "a.py and b.py" is not cut."""
    at = 0
    for match in re.finditer(
        r"[.;!?](?=\s|$)|\n|,?\s+(?:and then|then|and)\s+(?=(?:also )?[a-z]+\b(?![./]))", text
    ):
        yield text[at : match.start()]
        at = match.end()
    yield text[at:]
