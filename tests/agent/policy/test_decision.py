"""The policy: which words and numbers delegate, and what is said of it."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sunwell.agent.ephemeral_lens import should_use_delegation
from sunwell.core.price import OutputEstimate, Quote, Side

ONE_THING = "Fix a typo in user profiles page"


def side(name: str, usd: str | None) -> Side:
    amount = None if usd is None else Decimal(usd)
    return Side(name, amount, amount, amount)


TOO_DEAR = {"budget_usd": Decimal("0.01"), "lens_usd": Decimal("0.02")}


def priced(
    delegated: str | None, direct: str | None, low_effort: str | None = None, lens: int = 900
) -> Quote:
    return Quote(
        side("delegated", delegated),
        side("direct", direct),
        (side("smart-low-effort", low_effort),),
        lens_tokens=lens,
    )


@pytest.mark.parametrize(
    ("estimated", "left", "delegates"),
    [
        pytest.param(2000, None, False, id="at-threshold"),
        pytest.param(2001, None, True, id="over-threshold"),
        pytest.param(1000, 3000, False, id="three-tasks-fit"),
        pytest.param(1000, 2999, True, id="low-budget"),
        pytest.param(2000, 6000, False, id="at-both-boundaries"),
        pytest.param(2000, 5999, True, id="threshold-not-passed-but-low-budget"),
        pytest.param(0, None, False, id="no-output"),
        pytest.param(0, 0, False, id="nothing-is-held-three-times-by-nothing"),
    ],
)
def test_delegation_starts_past_each_boundary(estimated: int, left: int | None, delegates: bool):
    """Delegation starts just past the threshold, or when three tasks no longer fit."""
    assert should_use_delegation(ONE_THING, estimated, left).delegate is delegates


@pytest.mark.parametrize(
    ("threshold", "delegates"),
    [
        pytest.param(499, True, id="lower"),
        pytest.param(500, False, id="equal"),
        pytest.param(0, True, id="zero"),
    ],
)
def test_the_threshold_is_the_callers(threshold: int, delegates: bool):
    """The threshold that is given decides, not the default."""
    assert should_use_delegation(ONE_THING, 500, threshold_tokens=threshold).delegate is delegates


SEVERAL = [
    "Add logging to 2 files",
    "Add logging to 12 old request handler files",
    "Write five endpoints",
    "Write five new REST endpoints",
    "Write twenty-five endpoints",
    "Build two dozen components",
    "Build a couple of components",
    "Build several components",
    "Build multiple React components",
    "Test all modules",
    "Test ALL the Modules",
    "Test all of our modules",
    "Test all\nmodules",
    "Test all 5 modules",
    "Test both modules",
    "Test the 2 modules",
    "Test 2-3 modules",
    "Test 1,000 modules",
    "Document every endpoint",
    "Document every single endpoint",
    "Document every one of the endpoints",
    "Document each of the components",
    "Document each of the 5 components",
    "Generate CRUD endpoints for 5 entities",
    "Do not touch the tests, but move all modules",
]

SINGLE = [
    ONE_THING,
    "Fix the files dialog",
    "Fix the all files dialog",
    "Show every file name in the log",
    "Sort all file names",
    "Show the 5 files tab",
    "Improve the profiles and the modularity",
    "Explain the file",
    "Fix 1 file",
    "Fix the 1 files",
    "Fix one endpoint",
    "Delete 0 files",
    "Fix file 2 of module 3",
    "Move modules 2 and 3",
    "Support Python 3 modules",
    "Support Python 3.12 modules",
    "Serve HTTP/2 endpoints",
    "Drop the v2 endpoints",
    "Reject 5 MB files",
    "Retry 3 times, then close the files",
    "Accept up to 10 files in the upload form",
    "Warn about more than 5 files",
    "Limit of 5 files in the form",
    "Fix one of the three modules",
    "Fix any of the 5 files",
    "Fix a.py without touching all other modules",
    "Fix a.py and don't change any of the 7 files",
    "Not all modules are needed; fix a.py",
    'Rename the button to "Delete all files"',
    "Rename the button to 'Delete all files'",
    "Rename the button to `Delete 2 files`",
    "Write file-1 and file-2",
    "Write a multi-file parser",
    "Make the 2nd module faster",
    "Fix src-2 files",
    "Show 5 minutes before files are closed",
    "Translate the files",
    "",
]


@pytest.mark.parametrize("task", SEVERAL)
def test_several_files_endpoints_components_or_modules_delegate(task: str):
    """A number of at least 2, or a plural object, of the four kinds of thing is reason enough."""
    decision = should_use_delegation(task, 100)
    assert decision.delegate
    assert "the task is about" in decision.reason


@pytest.mark.parametrize("task", SINGLE)
def test_words_that_only_look_like_several_things_do_not(task: str):
    """Names of dialogs, versions, units, limits, exclusions, quotations and single things are no reason."""
    assert not should_use_delegation(task, 100)


@pytest.mark.parametrize(
    ("left", "lens", "delegates"),
    [
        pytest.param(900, 900, True, id="lens-just-fits"),
        pytest.param(899, 900, False, id="lens-does-not-fit"),
        pytest.param(1000, None, True, id="assumed-lens-just-fits"),
        pytest.param(999, None, False, id="assumed-lens-does-not-fit"),
        pytest.param(-50, None, False, id="overdrawn"),
        pytest.param(None, 900_000, True, id="no-limit"),
    ],
)
def test_a_lens_that_does_not_fit_what_is_left_vetoes(left: int | None, lens: int | None, delegates: bool):
    """Without room for the lens there is no delegation, whatever proposed it."""
    quote = None if lens is None else priced("0.01", "1", lens=lens)
    assert should_use_delegation(ONE_THING, 5000, left, quote=quote).delegate is delegates


@pytest.mark.parametrize(
    ("quote", "delegates"),
    [
        pytest.param(priced("0.0999", "0.1"), True, id="cheaper"),
        pytest.param(priced("0.1", "0.1"), False, id="as-dear"),
        pytest.param(priced("0.1001", "0.1"), False, id="dearer"),
        pytest.param(priced("0.09", "0.1", "0.08"), False, id="smart-alone-at-low-effort-is-cheaper"),
        pytest.param(priced("0.07", "0.1", "0.08"), True, id="cheaper-than-both"),
        pytest.param(priced(None, "0.1"), True, id="own-price-unknown"),
        pytest.param(priced("0.1", None), True, id="other-price-unknown"),
        pytest.param(priced("0.1", None, "0.05"), False, id="one-other-price-known"),
        pytest.param(None, True, id="nobody-asked"),
    ],
)
def test_a_known_quote_that_makes_delegation_dearer_vetoes(quote: Quote | None, delegates: bool):
    """Delegation has to be cheaper than the cheapest known other way; what is unknown vetoes nothing."""
    assert should_use_delegation(ONE_THING, 5000, quote=quote).delegate is delegates


@pytest.mark.parametrize(
    ("arguments", "options", "reason"),
    [
        pytest.param(
            (ONE_THING, 15000),
            {},
            "the expected output of 15,000 tokens is above the threshold of 2,000",
            id="threshold",
        ),
        pytest.param(
            (ONE_THING, 1500, 4000),
            {},
            "the budget is low: 4,000 tokens are left, fewer than 3 times the expected output of 1,500",
            id="low-budget",
        ),
        pytest.param(
            ("Write five new endpoints", 500),
            {},
            'the task is about 5 endpoints ("five new endpoints")',
            id="number",
        ),
        pytest.param(
            ("Test all modules", 500), {}, 'the task is about several modules ("all modules")', id="plural"
        ),
        pytest.param(
            (ONE_THING, 5000, 600),
            {},
            "writing a lens takes about 1,000 tokens, and 600 are left of the budget",
            id="lens-does-not-fit",
        ),
        pytest.param(
            (ONE_THING, 5000),
            {"quote": priced("0.1", "0.2", "0.3"), **TOO_DEAR},
            "writing a lens and the first call under it may cost $0.0200, and $0.0100 is left of the budget",
            id="lens-does-not-fit-the-dollars",
        ),
        pytest.param(
            (ONE_THING, 5000),
            {"quote": priced("0.1", "0.2", "0.3", lens=0), **TOO_DEAR},
            "the first call under the lens may cost $0.0200, and $0.0100 is left of the budget",
            id="no-call-under-a-lens-that-is-there",
        ),
        pytest.param(
            (ONE_THING, 5000),
            {"quote": priced("0.25", "0.2", "0.125")},
            "delegating would cost about $0.2500, the smart-low-effort way about $0.1250",
            id="dearer",
        ),
        pytest.param(
            (ONE_THING, 300),
            {"threshold_tokens": 400},
            "the expected output of 300 tokens is within the threshold of 400, and the task is not about "
            "several files, endpoints, components or modules",
            id="no-reason",
        ),
        pytest.param(
            (ONE_THING, 300, 900),
            {},
            "the expected output of 300 tokens is within the threshold of 2,000, the budget of 900 holds it "
            "3 times, and the task is not about several files, endpoints, components or modules",
            id="no-reason-with-a-budget",
        ),
    ],
)
def test_the_reason_says_which_and_by_how_much(arguments: tuple, options: dict, reason: str):
    """Each trigger and each veto has its own sentence with the numbers that decided."""
    assert should_use_delegation(*arguments, **options).reason == reason


@pytest.mark.parametrize(
    ("output", "said"),
    [
        pytest.param(OutputEstimate(2_100, 700, 9_000), "2,100 tokens (700 to 9,000) is above", id="above"),
        pytest.param(OutputEstimate(900, 300, 2_700), "900 tokens (300 to 2,700) is within", id="within"),
        pytest.param(OutputEstimate(9_000, 3_000, 27_000), "9,000 tokens is above", id="clearly-above"),
        pytest.param(OutputEstimate(500, 100, 2_000), "500 tokens is within", id="clearly-within"),
        pytest.param(OutputEstimate(2_500, 2_000, 2_600), "(2,000 to 2,600) is above", id="low-end-at-it"),
    ],
)
def test_the_reason_names_the_range_where_it_could_decide_otherwise(output: OutputEstimate, said: str):
    """The expected figure decides; its range is said if the threshold lies in it."""
    decision = should_use_delegation(ONE_THING, output)
    assert said in decision.reason
    assert decision.estimated_tokens == output.expected_tokens
    assert bool(decision) == (output.expected_tokens > 2_000)


def test_the_veto_says_if_more_output_would_lift_it():
    """Dearer at the expected output, cheaper at the high end: the reason names that end."""

    def sides(high: str) -> Quote:
        direct = Side("direct", Decimal("0.1"), Decimal("0.2"), Decimal(9), Decimal(1))
        delegated = Side("delegated", Decimal("0.2"), Decimal("0.25"), Decimal(9), Decimal(high))
        return Quote(delegated, direct, output=OutputEstimate(3_000, 1_000, 12_000))

    flips, stays = (should_use_delegation(ONE_THING, 3_000, quote=sides(high)) for high in ("0.5", "1"))
    assert not flips
    assert flips.reason.endswith("; with 12,000 tokens of output it would be the cheaper way")
    assert "12,000" not in stays.reason


def test_the_decision_keeps_its_numbers():
    """What decided stands in the decision, for the event and the record."""
    decision = should_use_delegation(ONE_THING, 700, 900, threshold_tokens=800)
    assert (decision.estimated_tokens, decision.threshold_tokens, decision.budget_remaining) == (
        700,
        800,
        900,
    )
    assert not decision.delegate


@pytest.mark.parametrize(
    "numbers", [{"estimated_tokens": -1}, {"estimated_tokens": 1, "threshold_tokens": -1}]
)
def test_negative_tokens_are_an_error(numbers: dict[str, int]):
    """A negative estimate or threshold is a mistake of the caller, not a small task."""
    with pytest.raises(ValueError, match="negative"):
        should_use_delegation(ONE_THING, **numbers)


WORDS = "all every each 2 five files file the of for modules endpoint\n , . without not 5 mb one up to"
vocabulary = st.sampled_from(sorted(set(WORDS.split(" "))))


@given(task=st.lists(vocabulary, max_size=12).map(" ".join) | st.text(max_size=80))
def test_any_task_gets_a_decision_and_one_printable_sentence(task: str):
    """Reasons go to terminals: one line, of bounded length, whatever the task says."""
    decision = should_use_delegation(task, 100)
    assert bool(decision) is decision.delegate
    assert decision.reason.isprintable()
    assert len(decision.reason) < 300


def test_a_task_of_one_endless_word_does_not_end_up_in_the_reason():
    """A word as long as a file is shortened where the reason quotes it."""
    decision = should_use_delegation(f"all {'x' * 100_000} modules and {'9' * 5000} files", 100)
    assert decision.delegate
    assert len(decision.reason) < 200
