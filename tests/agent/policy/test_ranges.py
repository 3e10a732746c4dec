"""The range of a task's output: what it counts, what makes it wide, and what does not change it."""

import time
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sunwell
from sunwell.agent.policy.delegation import should_use_delegation
from sunwell.agent.policy.estimator import MOST_TOKENS, estimate_output_tokens
from sunwell.core.price import OutputEstimate

HERE = Path(__file__)
TABLE = tomllib.loads(HERE.with_name("tasks_ranges.toml").read_text("utf-8"))["task"]
UNSEEN = tomllib.loads(HERE.with_name("tasks_ranges_unseen.toml").read_text("utf-8"))["task"]
FIFTY = [
    row
    for name in ("tasks.toml", "tasks_unseen.toml")
    for row in tomllib.loads(HERE.with_name(name).read_text("utf-8"))["task"]
]
NOT_ENGLISH = "the task is not in English: the estimate is a guess"


def estimate(task: str) -> OutputEstimate:
    return sunwell.estimate_output(task)


def holds(row: dict, made: OutputEstimate) -> bool:
    """Whether the figure that was written down is in a range that says something."""
    is_within = made.low_tokens <= row["output_tokens"] <= made.high_tokens
    return is_within and made.high_tokens <= row["most_spread"] * made.low_tokens


def test_the_range_holds_what_was_expected_of_thirty_tasks():
    """Of thirty tasks written down before, at least 27 have their output in a range that is not too wide."""
    assert len(TABLE) == 30
    assert len([row for row in TABLE if row["kind"] == "counts"]) == 10
    assert len([row for row in TABLE if row["kind"] == "another language"]) == 5
    wrong = [row["text"] for row in TABLE if not holds(row, estimate(row["text"]))]
    assert len(wrong) <= 3, wrong


def test_the_range_holds_what_was_expected_of_tasks_it_was_not_written_on():
    """Of twenty tasks written down after the estimator, at least three in four."""
    wrong = [row["text"] for row in UNSEEN if not holds(row, estimate(row["text"]))]
    assert len(wrong) <= len(UNSEEN) // 4, wrong


def test_a_length_that_is_named_is_not_made_shorter():
    """ "Short" says nothing more where the task says how many words."""
    named = estimate("Write three stories of 800 words each")
    assert estimate("Write three short stories of 800 words each").expected_tokens == named.expected_tokens


def test_two_hundred_product_descriptions_are_a_large_task():
    """They are counted, the reason shows it, and they are worth a lens."""
    task = "200 product descriptions"
    made = estimate(task)
    assert 9_000 < made.expected_tokens < 40_000
    assert made.counted == ("200 product descriptions: 200 x 120 tokens",)
    assert should_use_delegation(task, made)


@pytest.mark.parametrize(
    ("task", "counted"),
    [
        ("Create fixtures for 40 SKUs", "40 skus: 40 x 100 tokens"),
        ("Write a dozen haiku", "a dozen haiku: 12 x 25 tokens"),
        ("Write two hundred tweets", "two hundred tweets: 200 x 50 tokens"),
        ("Write half a dozen poems", "half a dozen poems: 6 x 150 tokens"),
        ("Write twenty five tweets", "twenty five tweets: 25 x 50 tokens"),
        ("Write 1,000 tweets", "1000 tweets: 1,000 x 50 tokens"),
        ("Write 2k tweets", "2k tweets: 2,000 x 50 tokens"),
        ("Could you please write 20 tweets?", "20 tweets: 20 x 50 tokens"),
        ("Write 3 tests for each of the 5 endpoints", "3 tests, 5 endpoints: 15 x 200 tokens"),
        ("Write 3 tests per endpoint for 5 endpoints", "3 tests, 5 endpoints: 15 x 200 tokens"),
        ("Implement 5 endpoints with 3 tests each", "3 tests for each: 15 x 200 tokens"),
        ("Implement 5 endpoints, each with 3 tests", "3 tests for each: 15 x 200 tokens"),
        ("Translate 40 strings into 3 languages", "40 strings, 3 languages: 120 x 16 tokens"),
        ("Translate 40 strings into German and French", "40 strings, 2 languages: 80 x 16 tokens"),
        ("I have 40 strings; translate them into French", "40 strings: 40 x 16 tokens"),
        ("For the 12 modules, write tests", "12 modules: 12 x 1,200 tokens"),
        ("Generate 3 variants of 10 headlines", "3 variants, 10 headlines: 30 x 20 tokens"),
        ("Write 5 posts of 300 words each", "5 posts: 5 x 405 tokens"),
        ("Make a table of 50 countries", "50 countries: 700 and 50 x 60 tokens"),
        ("Generate a JSON file with 500 entries", "500 entries: 500 x 70 tokens"),
        ("Don't touch the other 40 files, fix 3 bugs", "3 bugs: 3 x 250 tokens"),
        ("Write 10 haiku and 5 limericks", "5 limericks: 5 x 70 tokens"),
        ("Write tests for 14 handlers and 3 services", "14 handlers, 3 services: 17 x 600 tokens"),
        ("Write descriptions for 200 products in 4 languages", "200 products, 4 languages: 800 x 120 tokens"),
        ("Implement endpoints for users, orders and products", "endpoints: 3 x 700 tokens"),
        ("Write 30 user stories", "30 user stories: 30 x 150 tokens"),
        ("Write between 5 and 10 tests", "10 tests: 10 x 200 tokens"),
        ("Write 10+ ideas", "10 ideas: 10 x 70 tokens"),
        ("Migrate 3 Vue 3 components to React 18", "3 vue 3 components: 3 x 800 tokens"),
    ],
)
def test_a_number_with_any_plural_multiplies(task: str, counted: str):
    """Words and digits, "each" and "per", languages, and the numbers of two nouns together."""
    assert counted in estimate(task).counted


@pytest.mark.parametrize(
    ("task", "unknown"),
    [
        ("Write 50 frobnicators", '"50 frobnicators" is no known kind of thing: 50 x 167 tokens'),
        ("Write the frobnicator", '"frobnicator" is no known kind of thing: 800 tokens assumed'),
        ("Add docstrings to all functions", 'the number of "all functions" is not given: 20 assumed'),
        ("Fix everything", "the number of places is not given: 8 assumed"),
        ("Rewrite the frobnicator", "what is changed is no known kind of thing: 1,200 tokens assumed"),
        ("", "the task says nothing that is known: 800 tokens assumed"),
    ],
)
def test_what_is_not_known_widens_the_range_and_is_said(task: str, unknown: str):
    """ "all", "everything" and unknown nouns make it wider than that of a known thing with a number."""
    made, plain = estimate(task), estimate("Write 50 functions")
    assert unknown in made.unknown
    assert made.high_tokens / made.low_tokens > 1.5 * plain.high_tokens / plain.low_tokens
    assert made.high_tokens <= 30 * made.low_tokens


@pytest.mark.parametrize(
    "task",
    [
        "Fix 404 errors in the router",
        "Explain HTTP 500 errors",
        "Summarise the 2024 reports",
        "Support Python 3 modules",
        "Bump Vue 3 components",
        "Accept up to 10 files in the form",
        "Fix one of the 3 modules",
        "Refactor the parser without touching the other 40 files",
        'Rename the button to "Delete 40 files"',
        "We have 300 users. Add a login page.",
        "Fix the form that rejects 5 MB uploads",
        "Create users with 8 character passwords",
        "Add a 30 day trial",
        "Build a 3 column layout",
        "Add a 5% discount for orders above 50 euros",
        "Resize the images to 300 pixels",
        "1. Write tests for the parser\n2. Files are not to be changed",
    ],
)
def test_what_only_looks_like_a_number_of_things_does_not_multiply(task: str):
    """Status codes, years, versions, limits, choices, exclusions, quotations, sizes and list numbers."""
    assert estimate(task).counted == ()


@pytest.mark.parametrize(
    ("task", "least"),
    [
        ("Schreibe Tests für die 8 Module in src/", 4_000),
        ("Schreibe zwölf Beschreibungen für den Katalog", 2_000),
        ("Rédige 50 fiches produit pour la boutique de thé", 4_000),
        ("Escribe doce correos para los clientes", 2_000),
        ("Scrivi 30 descrizioni per il catalogo", 3_000),
        ("Escreva 30 mensagens para os clientes", 3_000),
        ("Schrijf 30 teksten voor de winkel", 3_000),
        ("Напиши 200 описаний товаров", 8_000),
        ("请写50个产品描述", 4_000),
        ("写三十篇文章", 3_000),
        ("製品の説明を30件書いてください", 3_000),
    ],
)
def test_numbers_count_in_other_languages_and_the_language_is_said(task: str, least: int):
    """The estimate says that it is a guess, and its range is wide."""
    made = estimate(task)
    assert made.expected_tokens >= least
    assert NOT_ENGLISH in made.unknown
    assert 10 < made.high_tokens / made.low_tokens <= 30


@pytest.mark.parametrize("row", [row for row in (*TABLE, *FIFTY) if row["kind"] != "another language"])
def test_english_is_taken_for_english(row: dict):
    """Of eighty tasks none in English is told to be in another language."""
    assert NOT_ENGLISH not in estimate(row["text"]).unknown


@pytest.mark.parametrize(
    "task",
    [
        "Fix the résumé page",
        "Add a café finder",
        "Handle naïve dates",
        "Fix la-carte.py",
        "Deploy to São Paulo",
        "Deploy the Los Angeles page",
        "Support 3 users per account",
        "El Niño chart",
        "OS X in DOS",
    ],
)
def test_single_foreign_words_do_not_make_another_language(task: str):
    """Names and loanwords stand in English sentences."""
    assert NOT_ENGLISH not in estimate(task).unknown


VOCABULARY = """write fix explain refactor add translate 200 12 3 product descriptions tests endpoints files
    parser the a an all each every everything with and for in into of per languages frobnicators haiku module
    it don't without please report Python 2024 schreibe für die le la 'quoted "text utils.py --flag"""
WORDS = VOCABULARY.split()
SEPARATORS = st.sampled_from([", ", "; ", "\n", " ", ",\n", "\r\n", "  ", "\t", "\n\n", " - "])
phrases = st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map(" ".join)


@given(
    parts=st.lists(phrases, min_size=1, max_size=6),
    separators=st.lists(st.tuples(SEPARATORS, SEPARATORS), min_size=6, max_size=6),
    end=st.sampled_from(["", ".", "!", "?", " .", "\n", ";", "..."]),
    upper=st.booleans(),
)
def test_separators_capitals_and_blanks_change_nothing(parts, separators, end, upper):
    """Commas, semicolons, line breaks, a period at the end: the same words are the same task."""
    one = other = parts[0]
    for part, (mine, theirs) in zip(parts[1:], separators, strict=False):
        one, other = one + mine + part, other + theirs + part
    other = f"  {other.upper() if upper else other}{end}"
    assert estimate(one) == estimate(other)


@pytest.mark.parametrize("row", [*TABLE, *FIFTY], ids=lambda row: row["text"][:30])
def test_the_eighty_tasks_do_not_depend_on_their_punctuation(row: dict):
    """With commas for semicolons, line breaks for commas, in capitals and with a period, they are equal."""
    text = row["text"]
    expected = estimate(text)
    assert estimate(text.replace("; ", ", ")) == expected
    assert estimate(text.replace(", ", "\n")) == expected
    assert estimate(text.replace(", ", " ; ").replace(" ", "  ").upper() + ".") == expected


@given(task=st.text(max_size=300) | st.lists(st.sampled_from(WORDS), max_size=60).map(" ".join))
def test_any_text_gets_a_range_in_order(task: str):
    """Low, expected and high are whole numbers of at least 1, in order and bounded; reasons are printable."""
    made = estimate(task)
    assert 1 <= made.low_tokens <= made.expected_tokens <= made.high_tokens <= MOST_TOKENS
    assert made.expected_tokens == estimate_output_tokens(task)
    assert all(sentence.isprintable() and len(sentence) < 200 for sentence in (*made.counted, *made.unknown))


@pytest.mark.parametrize(
    "task",
    [
        "Write {} product descriptions",
        "Write {} frobnicators",
        "Create fixtures for {} SKUs",
        "Rename {} variables",
        "Summarise {} tickets",
        "Translate {} strings into 3 languages",
        "Translate 40 strings into {} languages",
        "Rewrite {} frobnicators",
        "Implement {} endpoints with 3 tests each",
        "Implement 5 endpoints with {} tests each",
        "Make a table of {} countries",
        "Schreibe {} Beschreibungen für den Katalog",
    ],
)
@settings(max_examples=30)  # for each of a dozen tasks
@given(numbers=st.lists(st.integers(2, 2_000_000), min_size=2, max_size=6, unique=True).map(sorted))
def test_more_things_never_take_less(task: str, numbers: list[int]):
    """All three figures grow with the number, or stay."""
    for less, more in pairwise(estimate(task.format(number)) for number in numbers):
        assert less.low_tokens <= more.low_tokens
        assert less.expected_tokens <= more.expected_tokens
        assert less.high_tokens <= more.high_tokens


@pytest.mark.parametrize(
    "piece",
    ["“", '"', "'", "'a", "`", "\n", " ", "1. ", "5,", "5 files ", "files ", "all ", "a dozen ", "x",
     "write ", "a-", "\n1. a\n", "```\n", "十", "((", "- ", "each with 3 tests ", "without "],
)  # fmt: skip
def test_a_very_long_task_of_anything_is_estimated_at_once(piece: str):
    """No repetition makes the reading of a task slow, neither for its range nor for the decision."""
    task = piece * (200_000 // len(piece))
    begun = time.process_time()
    made = estimate(task)
    should_use_delegation(task, made)
    assert time.process_time() - begun < 8  # less than a second; what is quadratic takes many minutes
    assert made.expected_tokens <= MOST_TOKENS


def test_fenced_material_asks_for_nothing():
    """What a diff adds and fixes is not what the task asks for; its length counts a little."""
    diff = "\n".join("+ add 300 endpoints, fix all files" for _ in range(200))
    plain, made = estimate("Review this"), estimate(f"Review this\n\n```diff\n{diff}\n```")
    assert made.counted == plain.counted
    assert plain.expected_tokens < made.expected_tokens < 5_000


def test_a_range_that_is_not_in_order_is_an_error():
    """Low is at most the expected figure, and that at most high."""
    with pytest.raises(ValueError, match="ascending"):
        OutputEstimate(5, 6, 7)
    with pytest.raises(ValueError, match="low_tokens"):
        OutputEstimate(5, -1, 7)
