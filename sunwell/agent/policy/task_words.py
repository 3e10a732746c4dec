"""The words of a task: its verbs and nouns, its numbers, the several things in it, and its language."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, pairwise
from typing import Literal

import attrs


def _list(words: str) -> list[str]:
    return words.split()


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


Action = Literal["make", "rework", "touch", "read"]
"""``make`` writes something new, ``rework`` writes most of it anew, ``touch`` changes places in it,
``read`` only reports."""

_VERBS: Mapping[Action, str] = {
    "make": """add append author bootstrap build code compose construct cover create define deploy design
        develop document draft draw expose generate give implement introduce invent lay make mock model
        plan prepare send produce program prototype provide scaffold set sketch specify start support test
        write""",
    "rework": """adapt clean convert decouple extract improve merge migrate modernise modernize modularise
        modularize optimise optimize overhaul port redesign redo refactor reimplement reorganise
        reorganize restructure rewrite simplify split transform translate transpile upgrade annotate type
        localise localize parallelise parallelize unify""",
    "touch": """adjust align amend bump change comment correct debug delete deprecate disable drop edit
        enable fix format hide increase decrease limit lint lower move patch pin raise reformat remove
        rename repair replace resolve restore revert show sort strip substitute swap tidy toggle turn
        tweak uncomment undo unpin update uninstall install""",
    "read": """analyse analyze answer assess audit calculate check classify compare compute count describe
        detect determine diagnose discuss estimate evaluate examine explain explore find identify inspect
        investigate list locate look measure name outline profile read recommend report review run search
        say see summarise summarize suggest tell trace understand verify what where which who why how when
        whether is are does do can could should""",
}
ACTIONS: Mapping[str, Action] = {verb: action for action, verbs in _VERBS.items() for verb in verbs.split()}
QUESTIONS = frozenset(_VERBS["read"].split("verify ")[1].split())
"""Words that make a clause only at its beginning."""
ALSO_NOUNS = _set(
    """plan answer audit build change check code comment count cover debug design document draft drop edit
    estimate fix format limit lint list look make measure mock model move name outline patch pin port
    process profile program prototype raise read redesign report review run search set show sketch sort
    split start support swap test toggle trace turn tweak type update upgrade"""
)
"""Verbs that are nouns as often; they begin a clause only if the word after them shows it."""

_THINGS: Mapping[int, str] = {
    5: "keyword tag hashtag synonym",
    10: "title name word",
    20: "slogan tagline headline caption string answer headword label phrase choice placeholder",
    25: "haiku sentence bullet aphorism pun motto translation",
    50: "tweet joke riddle flashcard quote greeting advert ad toast definition",
    70: "sku limerick entry record row idea product item value-pair",
    80: "question exercise example bio",
    100: """typo comment import constant parameter argument line message variable year flag setting value
        link color colour attribute annotation hyperlink fixture paragraph stanza testimonial faq""",
    120: "description blurb snippet-of-text requirement",
    150: """docstring option field column log statement key enum hint header-line event commit slide
        review poem user-story persona invoice bug error exception warning crash failure""",
    200: "test case assertion",
    250: "email",
    400: """function method query regex button toggle validator decorator callback helper check route rule
        icon handler-function snippet dependency migration letter recipe biography profile memo lyric song""",
    500: "handler",
    700: """endpoint hook form table header footer sidebar modal command script dockerfile changelog issue
        newsletter summary section filter chart bar card menu widget""",
    1_000: """class component file module middleware schema model serializer controller repository
        template view page screen interface language workflow pipeline config algorithm entity resource
        report lesson worksheet""",
    1_500: "readme tests guide article tutorial post essay plugin parser story speech proposal",
    2_500: """feature package library crud documentation docs cli authentication manual specification game
        compiler auth chapter""",
    4_000: "service api server bot client sdk database microservice backend frontend suite framework",
    6_000: "app application dashboard website site project codebase repository-wide system platform shop",
}
SIZES_TOKENS: Mapping[str, int] = {name: size for size, names in _THINGS.items() for name in names.split()}
"""Output in tokens for one new thing of each kind, by its singular."""
PROSE = frozenset(
    word
    for size in (5, 10, 20, 25, 50, 120)
    for word in _THINGS[size].split()
    if word not in {"name", "label", "string"}
) | _set(
    """limerick poem stanza testimonial faq bio letter recipe biography newsletter essay article story
    speech lyric song question exercise email post"""
)
"""What is written without looking around first."""

_IRREGULAR = {
    "tests": "tests", "docs": "docs", "documentation": "documentation", "auth": "auth", "haiku": "haiku",
    "biography": "biographies", "crud": "crud",
}  # fmt: skip


def plural_of(singular: str) -> str:
    """Return the plural of a noun in :data:`SIZES_TOKENS`."""
    if singular in _IRREGULAR:
        return _IRREGULAR[singular]
    if singular.endswith("y") and singular[-2] not in "aeiou":
        return singular[:-1] + "ies"
    return singular + ("es" if singular.endswith(("s", "x", "ch", "sh")) else "s")


PLURALS: Mapping[str, str] = {noun: plural_of(noun) for noun in SIZES_TOKENS}
SINGULARS: Mapping[str, str] = {
    **{plural: noun for noun, plural in PLURALS.items() if noun != "test"},
    "haikus": "haiku",
}
_PLURALS_WITHOUT_S = _set(
    """people children men women mice feet teeth geese criteria data media series species sheep fish haiku
    indices matrices vertices analyses theses phenomena aircraft staff"""
)


def looks_plural(word: str) -> bool:
    """Whether *word* has the form of an English plural; unknown nouns have no other sign."""
    if word in _PLURALS_WITHOUT_S or word in SINGULARS:
        return True
    return len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is", "'s"))


_UNITS = _list(
    """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
    sixteen seventeen eighteen nineteen"""
)
_TENS = _list("twenty thirty forty fifty sixty seventy eighty ninety")
_NUMBERS: Mapping[str, int] = {
    **{word: value for value, word in enumerate(_UNITS)},
    **{word: 10 * value for value, word in enumerate(_TENS, 2)},
    **{f"{ten}-{_UNITS[unit]}": 10 * i + unit for i, ten in enumerate(_TENS, 2) for unit in range(1, 10)},
    "both": 2,
    "couple": 2,
}
_MULTIPLES: Mapping[str, int] = {"dozen": 12, "hundred": 100, "thousand": 1000}
_PLURAL_QUANTIFIERS = _set("""all multiple several many various numerous few dozens hundreds thousands""")
_SINGULAR_QUANTIFIERS = frozenset({"every", "each"})
_MOST = 1_000_000  # what is above this is no count of things to write
_LONGEST_SAID = 60
_REACH_WORDS = 4  # how far a number may stand before its noun: "12 old request handler files"

BREAKS_A_GROUP = _set(
    """a an and or but if when then than that which who in on at by to from for with without into onto
    over under before after as is are was were be per via not no its it this mb kb gb tb kib mib gib bytes
    byte ms s second seconds minute minutes hour hours day days week weeks px percent line lines times
    time column columns chars characters words letters"""
)
_NUMBERED = _set(
    """python version v java es php node rfc pep http step phase level chapter section page line port
    issue ticket bug part number no figure option error code ruby go angular vue django bootstrap"""
)
_COMPARED = frozenset({"than", "most", "up", "max", "maximum", "limit", "first", "last"})
_HEADS = _set(
    """dialog dialogue tab page panel menu button view list window pane picker browser screen widget
    section folder directory table column counter count limit icon label heading filter option command
    field header name names extension extensions size sizes path paths type types format formats system
    permission permissions picker descriptor descriptors handle"""
)
TURNS_AWAY = _set(
    """without except excluding never don't dont doesn't not nor leave ignoring ignore skip avoid"""
)

# An opening mark that is never closed must not make the search start again at each of the next ones.
_QUOTED = re.compile(r"\"[^\"\n]*\"|“[^“”\n]*”|`[^`\n]*`|(?<!\w)'[^'\n]*'(?!\w)")
_BREADTH_WORD = re.compile(r"-?[^\W_]+(?:[-./'\u2019_@:#][^\W_]+)*[%+#]?|[,.;:!?()\n]")
_BLANKS = re.compile(r"[^\S\n]+")
_EMPTY_LINES = re.compile(r"\n(?: ?\n)+")  # both keep the search for line breaks short
_LINE_BREAK = re.compile(r"\n(?!\s*(?:\n|[-*+]\s|[0-9]+[.)]\s))")  # inside a paragraph
_INTEGER = re.compile(r"(?:[0-9]{1,9}[-\u2013])?([0-9]{1,9})(k?)")


@attrs.frozen
class Group:
    """Several things of one kind that a task speaks of."""

    noun: str
    """What they are, in the singular, as the caller named it."""
    count: int | None
    """At least 2; ``None`` where the task says "all" or "several" and no number."""
    words: str
    """The words of the task that say so."""


def groups(task: str, nouns: Mapping[str, str]) -> tuple[Group, ...]:
    """Return the groups of several things in *task*, in order.

    *nouns* maps the singular of each noun to its plural. A noun counts as a whole word, with a
    number of at least 2 before its plural, with a quantifier ("all modules", "each of the
    components"), or as a plural that is wanted for several others ("endpoints for 5 entities").
    Quoted text, what is turned away ("without touching all other files") and limits ("up to 5
    files") do not count.
    """
    words = _words(task)
    plurals = {plural: singular for singular, plural in nouns.items()}
    found = []
    for at, word in enumerate(words):
        singular = plurals.get(word) or (word if word in nouns else None)
        if singular is None or (at + 1 < len(words) and words[at + 1] in _HEADS):
            continue
        group = _before(words, at, singular, word in plurals)
        if group is None and word in plurals:
            group = _wanted_for(words, at, singular)
        if group is not None:
            found.append(group)
    return tuple(found)


def number(word: str) -> int | None:
    """Return the whole number that *word* stands for, in digits or letters, or ``None``.

    A range such as "2-3" stands for its end.
    """
    digits = _INTEGER.fullmatch(word)
    if digits:
        return min(int(digits.group(1)) * (1000 if digits.group(2) else 1), _MOST)
    return _NUMBERS.get(word, _MULTIPLES.get(word))


def said(words: Sequence[str]) -> str:
    """Return *words* as they are shown to people: a task may hold words of any length."""
    text = " ".join(words)
    return text if len(text) <= _LONGEST_SAID else text[: _LONGEST_SAID - 1] + "…"


def _words(task: str) -> list[str]:
    """Return the words of *task* in lower case, punctuation as words, without what does not count."""
    text = _BLANKS.sub(" ", task.replace("\u2019", "'"))
    text = _EMPTY_LINES.sub("\n\n", text)
    text = _LINE_BREAK.sub(" ", _QUOTED.sub(" ", text))
    text = re.sub(r"(?<=[0-9]),(?=[0-9]{3}\b)", "", text)
    kept: list[str] = []
    away = False
    for word in _BREADTH_WORD.findall(text.lower()):
        if word in TURNS_AWAY:
            away = True
        elif away and (word in {",", ".", ";", ":", "!", "?", "\n", "but"}):
            away = False
        if not away:
            kept.append(word)
    return kept


def _before(words: list[str], at: int, singular: str, is_plural: bool) -> Group | None:
    """Return the group that the words before the noun at *at* make of it."""
    for start in range(at - 1, max(-1, at - 2 - _REACH_WORDS), -1):
        word = words[start]
        shown = said(words[start : at + 1])
        if word == "one" and words[max(0, start - 1)] in _SINGULAR_QUANTIFIERS:
            continue
        value = number(word)
        if word in _SINGULAR_QUANTIFIERS or (is_plural and word in _PLURAL_QUANTIFIERS):
            return Group(singular, None, shown) if stands_free(words, start) else None
        if value is not None:
            if word in _MULTIPLES and start > 0:
                value = min(value * (number(words[start - 1]) or 1), _MOST)
            several = is_plural and value >= 2 and stands_free(words, start)
            return Group(singular, value, shown) if several else None
        if word in {"of", "the", "our", "your", "their", "these", "those"}:
            continue
        if word in BREAKS_A_GROUP or not word[0].isalnum():
            return None
    return None


def _wanted_for(words: list[str], at: int, singular: str) -> Group | None:
    """Return the group in "endpoints for 5 entities": as many as what they are wanted for."""
    if words[at + 1 : at + 2] != ["for"] or at + 2 >= len(words):
        return None
    following = [word for word in words[at + 2 : at + 5] if word not in {"the", "all", "these", "our"}]
    value = number(following[0]) if following else None
    if value is None or value < 2:
        return None
    return Group(singular, value, said(words[at : at + 5]))


def stands_free(words: Sequence[str], start: int) -> bool:
    """Whether the number or quantifier at *start* counts things: no version, limit or choice of one."""
    before = list(words[max(0, start - 3) : start])
    if not before:
        return True
    if before[-1] in _NUMBERED or before[-1] in _COMPARED or before[-1] in {"not", "no"}:
        return False
    if before[-2:] == ["up", "to"] or before[-2:] in (["limit", "of"], ["maximum", "of"], ["limit", "to"]):
        return False
    chosen = before[:-1] if before[-1] in {"the", "these", "those", "our"} else before
    return chosen[-2:] not in (["one", "of"], ["any", "of"], ["either", "of"], ["some", "of"], ["none", "of"])


_MOST_WORDS = 1_500  # what follows is material, and says little about the size of the work
_LONGEST_QUOTE_WORDS = 40
_LONGEST_WORD = 80
_IDEOGRAPHS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_MEASURED = re.compile(r"([一二两三四五六七八九十百]{1,6})(?=[个個篇条條份章件首段句种種張张])")
_PLAIN = re.compile(
    rf"[{_IDEOGRAPHS}]+|-?[^\W_{_IDEOGRAPHS}]+(?:[-./'_@:#]+[^\W_{_IDEOGRAPHS}]+)*[/%]?|[\"“”`]|(?<!\w)'|'(?!\w)"
)
_THOUSANDS = re.compile(r"(?<=[0-9]),(?=[0-9]{3}(?![0-9]))")
_LIST_NUMBER = re.compile(r"(?<!\S)[0-9]{1,3}[.)](?=\s+\S)")
_QUOTE_ENDS = {'"': '"', "“": "”", "`": "`", "'": "'"}
_DIGITS_OF_IDEOGRAPHS = {sign: value for value, sign in enumerate("零一二三四五六七八九")} | {"两": 2}


def plain_words(task: str) -> list[str]:
    """Return the first words of *task* in lower case, without quoted text and without any punctuation.

    Commas, semicolons, line breaks, capitals and blanks leave no trace. 1,500 words are returned at most.
    """
    text = task.replace("\u2019", "'")
    found = (match.group().lower() for match in _PLAIN.finditer(_unlisted(text)))
    words = list(islice(found, 2 * _MOST_WORDS))
    return list(islice(_unquoted(words), _MOST_WORDS))


def split_material(task: str) -> tuple[str, str]:
    """Return *task* without its fenced blocks, and the text in these: material, which asks for nothing."""
    kept: list[str] = []
    fenced: list[str] = []
    fence = ""
    for line in task.split("\n"):
        mark = line.strip()
        if not fence and mark.startswith(("```", "~~~")):
            fence = mark[: len(mark) - len(mark.lstrip(mark[0]))]
        elif fence and mark.startswith(fence) and not mark.strip(mark[0]):
            fence = ""
        else:
            (fenced if fence else kept).append(line)
    return "\n".join(kept), "\n".join(fenced)


def _unlisted(text: str) -> str:
    text = _MEASURED.sub(lambda match: f" {_ideographic_number(match.group(1))} ", text)
    return _LIST_NUMBER.sub(" ", _THOUSANDS.sub("", text))


def _ideographic_number(signs: str) -> int:
    total = digit = 0
    for sign in signs:
        if sign in "十百":
            total += (digit or 1) * (10 if sign == "十" else 100)
            digit = 0
        else:
            digit = _DIGITS_OF_IDEOGRAPHS[sign]
    return total + digit


def _unquoted(words: Sequence[str]) -> Iterator[str]:
    """Yield *words* without what stands between two quotation marks that are near each other."""
    at = 0
    while at < len(words):
        word = words[at]
        end = _QUOTE_ENDS.get(word)
        if end is not None:
            within = words[at + 1 : at + 2 + _LONGEST_QUOTE_WORDS]
            at += within.index(end) + 1 if end in within else 0
        elif word != "”":
            yield word[:_LONGEST_WORD]
        at += 1


_FOREIGN: Mapping[str, tuple[str, str]] = {
    "German": (
        """der das und für mit eine einen einem einer ein nicht auf von zu zum zur den dem des im ist sind
        alle alles bitte ich wir wie warum wo aus über bei jede jeden jedes""",
        "schreibe schreib erstelle erzeuge generiere übersetze korrigiere behebe entferne verfasse",
    ),
    "French": (
        "le la les des une pour dans avec et du au aux sur est ce cette ces que qui tous toutes tout chaque",
        """écris écrire rédige rédiger traduis traduire crée créer génère générer corrige corriger ajoute
        ajouter supprime résume résumer""",
    ),
    "Spanish": (
        "el los las una unos para con del y por que todos todas todo cada este esta",
        """escribe escribir crea crear traduce traducir genera generar corrige corregir añade agrega
        resume resumir""",
    ),
    "Italian": (
        "il gli della delle dei di che una con tutti tutte ogni questo questa",
        "scrivi scrivere crea traduci tradurre genera correggi aggiungi",
    ),
    "Portuguese": (
        "uma para não em da das que todos todas cada",
        "escreva escrever crie traduza gere corrija adicione",
    ),
    "Dutch": ("het een voor en alle elke deze", "schrijf maak vertaal genereer verbeter voeg"),
    "Polish": ("dla wszystkie każdy", "napisz przetłumacz utwórz popraw dodaj"),
    "Swedish": ("och för ett alla varje", "skriv skapa översätt rätta"),
    "Turkish": ("ve için bir ile tüm", "yaz oluştur çevir düzelt ekle"),
}
"""Small words and commands of other languages, without those that English texts hold, too."""
_COMMANDS = frozenset(word for _, commands in _FOREIGN.values() for word in commands.split())
_FOREIGN_WORDS: Mapping[str, frozenset[str]] = {
    name: _set(f"{small} {commands}") for name, (small, commands) in _FOREIGN.items()
}
_ENGLISH_WORDS = (
    _set(
        """the of and to for with is are this that these those from all it its into each every by be which
        what how when where why who our your their my we you should must can without not then them"""
    )
    | ACTIONS.keys()
) - {"resume", "test", "sort", "set", "design", "code", "support", "start", "format", "type", "port"}
_FOREIGN_NUMBERS: Mapping[str, int] = {
    word: value
    for value, words in {
        2: "zwei deux dos due dois duas twee два две dwa två iki",
        3: "drei trois tres tre três drie три trzy üç",
        4: "vier quatre cuatro quattro quatro четыре cztery fyra dört",
        5: "fünf cinq cinco cinque vijf пять pięć fem beş",
        6: "sechs seis sei zes шесть sześć sex altı",
        7: "sieben sept siete sette sete zeven семь siedem sju yedi",
        8: "acht huit ocho otto oito восемь osiem åtta sekiz",
        9: "neun neuf nueve nove negen девять dziewięć nio dokuz",
        10: "zehn dix diez dieci dez tien десять dziesięć tio",
        12: "zwölf dutzend douze douzaine doce docena dodici dozzina doze dúzia twaalf двенадцать дюжину",
        20: "zwanzig vingt veinte venti vinte twintig двадцать",
        50: "fünfzig cinquante cincuenta cinquanta cinquenta vijftig пятьдесят",
        100: "hundert cent cien cento cem honderd сто",
    }.items()
    for word in words.split()
}
FOREIGN_STOPS = frozenset(word for words in _FOREIGN_WORDS.values() for word in words)


def is_english(words: Sequence[str]) -> bool:
    """Whether *words* may be English: by their letters, and by small words that most sentences hold.

    Words that are of no language, such as names, count as English.
    """
    letters = Counter(
        "Latin" if unicodedata.name(letter, "").startswith("LATIN") else "other"
        for word in words[:300]
        for letter in word
        if letter.isalpha()
    )
    if letters["other"] > letters["Latin"] / 4:
        return False
    english = sum(word in _ENGLISH_WORDS for word in words[:300])
    foreign = max(
        sum(2 if word in _COMMANDS else 1 for word in words[:300] if word in known)
        for known in _FOREIGN_WORDS.values()
    )
    accented = sum(not word.isascii() for word in words[:300])
    return (foreign < 2 or foreign <= english) and (english > 0 or accented < 2)


def number_at(words: Sequence[str], at: int, english: bool = True) -> tuple[int, int] | None:
    """Return the number that begins at *at* and how many words it takes, or ``None``.

    "two hundred", "half a dozen" and "twenty five" are one number.
    """
    if words[at : at + 3] == ["half", "a", "dozen"]:
        return 6, 3
    first = number(words[at])
    if first is None and not english:
        first = _FOREIGN_NUMBERS.get(words[at])
    if first is None:
        return (_MULTIPLES[words[at + 1]], 2) if _is_a_multiple(words, at) else None
    taken = 1
    while at + taken < len(words) and taken < 5:
        word = words[at + taken]
        if word in _MULTIPLES:
            first = min(first * _MULTIPLES[word], _MOST)
        elif words[at + taken - 1] in _TENS and word in _UNITS[1:10]:
            first += _NUMBERS[word]
        else:
            break
        taken += 1
    return first, taken


def _is_a_multiple(words: Sequence[str], at: int) -> bool:
    return words[at] in {"a", "one"} and at + 1 < len(words) and words[at + 1] in _MULTIPLES


@attrs.frozen
class Count:
    """A number of things that an estimate multiplies by."""

    at: int
    """Index of its first word, and"""
    end: int
    """of the first word after its noun."""
    count: int
    noun: str | None
    """The singular if it is a known noun; else ``None``."""
    words: str
    """The words of the task that say so."""
    is_exact: bool = True
    """Whether the task names the number; "all" and "several" stand for an assumed one."""
    is_for_each: bool = False
    """Whether it comes once with each of other things: "with 3 tests each", "3 tests per endpoint"."""


_ASSUMED: Mapping[str, int] = {
    "several": 4, "few": 3, "some": 3, "multiple": 4, "various": 5, "many": 12, "numerous": 12, "dozens": 36,
    "hundreds": 300, "thousands": 2_000,
}  # fmt: skip
_ALL = frozenset({"all", "every", "each"})
_FOREIGN_ALL = _set(
    """alle jede jeden jedes tous toutes chaque todos todas cada tutti tutte ogni wszystkie все всех
    каждый tüm her alla varje 所有 每个 全部"""
)
_PASSED_OVER = _set("of the our your their these those my its other single new different more")
_MAY_STAND_BEFORE_A_COUNT = _set(
    """the all our your my these those a an about around roughly approximately exactly least only another
    and or plus with for of in into to from between across on over including remaining other following
    next each every per both by as than"""
)
_NOT_A_NOUN = (BREAKS_A_GROUP - {"columns", "letters"}) | _set(
    """either also please i you we they he she most such own so just only pixels dollars euros cents
    pounds percent degrees points bits months years spaces decimals digits"""
)
_MONTHS = _set("january february march april may june july august september october november december")
_BEFORE_A_YEAR = _MONTHS | _set("in since until the during q1 q2 q3 q4 year")
_UNITS_BEFORE_A_NOUN = _set(
    """character day hour minute month star column page line word factor way step bit digit pixel inch
    level part person player point decimal year"""
)
_STATUS_NOUNS = _set("error errors response responses status page pages code codes")
_STRIDE = 5


def counts(words: Sequence[str], english: bool = True) -> list[Count]:
    """Return what *words* count, in order: a number with any plural, or "all", "every" and their like.

    In English a number needs a plural after it, known or not; in another language any word will do.
    Versions, limits, years, sizes and choices of one ("one of the 3 modules") do not count.
    """
    found: list[Count] = []
    at = 0
    while at < len(words):
        one = _numbered(words, at, english) or _quantified(words, at, english)
        if one is not None:
            found.append(one)
        at = one.end if one is not None else at + 1
    return found


def _numbered(words: Sequence[str], at: int, english: bool) -> Count | None:
    read = number_at(words, at, english)
    if read is None or read[0] < 2:
        return None
    value, taken = read
    start = at + taken
    if start < len(words) and words[start] in _UNITS_BEFORE_A_NOUN:
        return None  # "8 character passwords"
    noun = _noun(words, start, english)
    if noun is None or not _counts(words, at, value, start, english):
        return None
    return _count(words, at, noun, value, is_exact=True, english=english)


def _count(words: Sequence[str], at: int, noun: int, value: int, *, is_exact: bool, english: bool) -> Count:
    name = known_noun(words[noun], is_counted=True)
    compound = f"{words[noun - 1]}-{name}"  # "user stories" are smaller than stories
    return Count(
        at,
        noun + 1,
        value,
        compound if compound in SIZES_TOKENS else name,
        said(words[at : noun + 1]),
        is_exact,
        english and _is_for_each(words, at, noun + 1),
    )


def known_noun(word: str, *, is_counted: bool = False) -> str | None:
    """Return the singular of *word* if its size is known; of a counted "tests" it is one test."""
    if is_counted and word == "tests":
        return "test"
    return word if word in SIZES_TOKENS else SINGULARS.get(word)


def _noun(words: Sequence[str], start: int, english: bool) -> int | None:
    """Return where the noun is that a number before *start* counts."""
    run: list[int] = []
    for at in range(start, min(len(words), start + _STRIDE + 1)):
        word = words[at]
        if word in _PASSED_OVER:
            continue
        if run and word.isdigit() and len(word) < 3:
            continue  # "3 vue 3 components"
        if word in _NOT_A_NOUN or number(word) is not None or not word[0].isalpha():
            break
        if not english and word in FOREIGN_STOPS:
            break
        run.append(at)
    if not run:
        return None
    plural = next((at for at in run if looks_plural(words[at])), None)
    if plural is not None:
        after = plural + 1
        joined = after in run and words[plural] not in SINGULARS and words[after] in SINGULARS
        return after if joined else plural  # "5 sales reports"
    if english:
        return None
    return next((at for at in run if known_noun(words[at]) is not None), run[0])


def _counts(words: Sequence[str], at: int, value: int, start: int, english: bool) -> bool:
    """Whether the number at *at* counts things: no version, limit, year, status or choice of one."""
    if not stands_free(words, at):
        return False
    before = words[at - 1] if at else ""
    if words[at].isdigit() and english:
        if 1980 <= value <= 2050 and before in _BEFORE_A_YEAR:
            return False
        if 400 <= value < 600 and words[start] in _STATUS_NOUNS:
            return False
        # "vue 3 components": a small number behind a name is its version.
        is_named = at > 1 and before not in _MAY_STAND_BEFORE_A_COUNT and before not in ACTIONS
        if is_named and value < 100 and not looks_plural(before) and known_noun(before) is None:
            return False
    return True


def _quantified(words: Sequence[str], at: int, english: bool) -> Count | None:
    word = words[at]
    if word in _FOREIGN_ALL and not english:
        noun = _noun(words, at + 1, english)
        value = 10
    elif word in _ALL or word in _ASSUMED:
        noun = _of_all(words, at + 1, is_single=word in {"every", "each"})
        value = _ASSUMED.get(word, 0) or (_all_of(words[noun]) if noun is not None else 0)
    else:
        return None
    if noun is None or (english and not stands_free(words, at)):
        return None
    return _count(words, at, noun, value, is_exact=False, english=english)


def _of_all(words: Sequence[str], start: int, *, is_single: bool) -> int | None:
    """Return where the noun of a quantifier before *start* is; a number in between counts instead."""
    for at in range(start, min(len(words), start + _STRIDE)):
        word = words[at]
        if word in _PASSED_OVER:
            continue
        if word in _NOT_A_NOUN or number(word) is not None:
            return None
        if word in SINGULARS or (word in SIZES_TOKENS and is_single and not _goes_on(words, at)):
            return at
        if looks_plural(word) and not _goes_on(words, at):
            return at
    return None


def _goes_on(words: Sequence[str], at: int) -> bool:
    """Whether the noun at *at* is followed by another one that says what is meant: "handler files"."""
    return at + 1 < len(words) and known_noun(words[at + 1]) is not None


def _all_of(word: str) -> int:
    """Return what "all" means: there are more small things in a project than large ones."""
    size = SIZES_TOKENS.get(known_noun(word, is_counted=True) or "", 400)
    return 20 if size <= 400 else 10 if size <= 1_000 else 5


def _is_for_each(words: Sequence[str], at: int, end: int) -> bool:
    following = words[end : end + 2]
    if following[:1] in (["per"], ["apiece"]) or following in (["for", "each"], ["for", "every"]):
        return True
    if following[:1] == ["each"]:
        return True
    return list(words[max(0, at - 2) : at]) == ["each", "with"]


def is_clause_start(words: Sequence[str], at: int) -> bool:
    """Whether the word at *at* is a verb that says what is to be done."""
    word = words[at]
    if word not in ACTIONS:
        return False
    before = words[at - 1] if at else ""
    after = words[at + 1] if at + 1 < len(words) else ""
    if not before:
        return True
    if word in QUESTIONS:
        return False
    links = before in {"and", "then", "also", "please", "to-do", "afterwards", "finally", "let's", "first"}
    if word in ALSO_NOUNS:
        has_object = after in _OBJECTS or (after != "" and number(after) is not None)
        return has_object and (links or before not in _BEFORE_A_NOUN)
    return links or before not in _BEFORE_A_NOUN


_OBJECTS = _set("it them the a an all every each this these those its our your my their both everything")
_BEFORE_A_NOUN = _set(
    """a an the of for with in into on at by from as or to that which who this these those its our your my
    their each every all any no not don't doesn't never be is are was i we they you it"""
)
EVERYTHING = re.compile(
    r"\b(?:everything|everywhere|anything|throughout|across the|(?:whole|entire) (?:project|code ?base|"
    r"repo(?:sitory)?|app))\b"
)
EVERYTHING_PLACES = 8


def task_clauses(words: Sequence[str]) -> list[Sequence[str]]:
    """Return *words* cut before each verb that says what is to be done; what is turned away is left out."""
    words = _without_courtesy(words)
    starts = [at for at in range(len(words)) if is_clause_start(words, at)]
    if starts and any(word in TURNS_AWAY for word in words[: starts[0]]):
        words, starts = words[starts[0] :], [start - starts[0] for start in starts]
    edges = [0, *starts[1:], len(words)]
    pieces = [words[start:end] for start, end in pairwise(edges)]
    return [kept for kept in (_without_turned_away(piece) for piece in pieces) if kept]


_COURTESY = _set(
    """please kindly can could would will should you we i i'd want need like to me us help let let's have
    hi hello hey just"""
)


def _without_courtesy(words: Sequence[str]) -> Sequence[str]:
    """Return *words* without "could you please" and the like, unless nothing to do would be left."""
    start = next((at for at, word in enumerate(words) if word not in _COURTESY), 0)
    return words[start:] if any(word in ACTIONS for word in words[start:]) else words


def main_verb(words: Sequence[str]) -> int | None:
    """Return where the verb of a clause is: better one in the place of a verb than one that may be a noun."""
    starts = (at for at in range(len(words)) if is_clause_start(words, at))
    verbs = (at for at, word in enumerate(words) if word in ACTIONS and word not in ALSO_NOUNS)
    return next(starts, next(verbs, None))


_CONTEXT = _set("for in on across from of given take")
_TAKES_UP = _set("them each these those they all")


def takes_up_context(words: Sequence[str], verb: int) -> bool:
    """Whether what stands before the verb says for how much it is done.

    It does in "For the 12 handlers, add tests" and "I have 40 strings, translate them", and not in "We
    have 300 users, add a login page".
    """
    return words[0] in _CONTEXT or any(word in _TAKES_UP for word in words[verb:])


def _without_turned_away(words: Sequence[str]) -> Sequence[str]:
    """Return *words* up to "without", "except" and their like: "without touching the other 40 files"."""
    for at, word in enumerate(words):
        if word in TURNS_AWAY and word != "not":
            return words[:at]
    return words


def languages(words: Sequence[str]) -> int:
    """Return how many human languages *words* name."""
    return len({word for word in words if word in _LANGUAGES})


_LANGUAGES = _set(
    """german french spanish italian portuguese dutch polish swedish danish norwegian finnish russian
    ukrainian chinese japanese korean arabic hebrew hindi turkish greek czech hungarian romanian
    vietnamese thai english"""
)
