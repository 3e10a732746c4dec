"""What things come out at when an agent writes them, in tokens: data for the estimator.

A line of code counts as ten tokens. Sizes are of a common specimen with its tool calls; they are
common sense, not measurements.
"""

from collections.abc import Mapping
from typing import Literal

Action = Literal["make", "rework", "touch", "read"]
"""``make`` writes something new, ``rework`` writes most of it anew, ``touch`` changes places in it,
``read`` only reports."""

_VERBS: Mapping[Action, str] = {
    "make": """add append author bootstrap build code compose construct create define design develop document
        draft draw expose generate implement introduce invent lay make mock model produce program prototype
        provide scaffold set sketch specify start support write""",
    "rework": """adapt clean convert decouple extract improve merge migrate modernise modernize modularise
        modularize optimise optimize overhaul port redesign redo refactor reimplement reorganise reorganize
        restructure rewrite simplify split transform translate transpile upgrade annotate type localise
        localize parallelise parallelize unify""",
    "touch": """adjust align amend bump change comment correct debug delete deprecate disable drop edit enable
        fix format hide increase decrease limit lint lower move patch pin raise reformat remove rename repair
        replace resolve restore revert show sort strip substitute swap tidy toggle turn tweak uncomment
        undo unpin update uninstall install""",
    "read": """analyse analyze answer assess audit calculate check compare compute count describe detect
        determine diagnose discuss estimate evaluate examine explain explore find identify inspect
        investigate list locate look measure name outline profile read recommend report review run
        search say see summarise summarize suggest tell trace understand verify what where which who why
        how when whether is are does do can could should""",
}
ACTIONS: Mapping[str, Action] = {verb: action for action, verbs in _VERBS.items() for verb in verbs.split()}

_THINGS: Mapping[int, str] = {
    100: """typo comment import label constant parameter argument line message string variable year word
        flag setting value name title link color colour attribute annotation""",
    150: "docstring sentence option field column log statement key enum hint row header-line event commit",
    400: """function method query regex button toggle validator fixture decorator callback helper check
        route rule icon handler-function snippet test case dependency migration""",
    700: """endpoint hook form table header footer sidebar modal command script dockerfile changelog issue
        email summary section filter chart bar card menu widget""",
    1_000: """class component file module handler middleware schema model serializer controller repository
        template view page screen interface language workflow pipeline config algorithm entity resource
        report""",
    1_500: "readme tests guide article tutorial post essay plugin parser story",
    2_500: """feature package library crud documentation docs cli authentication manual specification
        game compiler auth""",
    4_000: "service api server bot client sdk database microservice backend frontend suite framework",
    6_000: "app application dashboard website site project codebase repository-wide system platform shop",
}
SIZES_TOKENS: Mapping[str, int] = {name: size for size, names in _THINGS.items() for name in names.split()}

_IRREGULAR = {"tests": "tests", "docs": "docs", "documentation": "documentation", "auth": "auth"}


def plural_of(singular: str) -> str:
    """Return the plural of a noun in :data:`SIZES_TOKENS`."""
    if singular in _IRREGULAR:
        return _IRREGULAR[singular]
    if singular.endswith("y") and singular[-2] not in "aeiou":
        return singular[:-1] + "ies"
    return singular + ("es" if singular.endswith(("s", "x", "ch", "sh")) else "s")


PLURALS: Mapping[str, str] = {noun: plural_of(noun) for noun in SIZES_TOKENS}
SINGULARS: Mapping[str, str] = {plural: noun for noun, plural in PLURALS.items()}
