"""Questions about long contexts: looked into by scripts, asked about in parts, answered with a coverage."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from decimal import Decimal

import attrs
import pytest

from sunwell.agent.asking.ask_price import decide_way
from sunwell.agent.asking.part_sizes import PartSizes
from sunwell.budget import Budget
from sunwell.context.options import RunOptions
from sunwell.core import Price, ToolCall, Usage
from sunwell.core.message import Text
from sunwell.core.model import Completion, Delta, Request
from sunwell.errors import ConfigurationError, ServerFailed
from sunwell.events import BatchPlanned, DelegationStarted
from sunwell.journal.records import Answer, Note
from sunwell.testing import completion
from tests.agent.asking.conftest import CHEAP, PRICE, explore, final


def read(request):
    """Return an answer that names the size of the part."""
    return f"nothing in {len(request.messages[0].text):,}"


def test_a_context_is_looked_into_and_asked_about_in_parts(asked):
    """Names persist, a fan-out is counted and told, and the answer says what was read."""
    result = asked.ask(
        [
            explore(
                "hits = context.search('line 77:')\nprint(context.size, hits[0].text(), hits[0].place())"
            ),
            explore("answers = llm_map('Odd?', context.chunks(100000))\nprint(len(hits), answers[4])"),
            final(variable="answers"),
        ],
        read,
    )
    assert "468894 line 77: all is well\n log.txt, lines 77-77 (bytes 1,587-1,608)" in asked.shown(1)
    assert asked.shown(2).startswith("1 nothing in 69,0")
    assert "[From the harness: 5 calls to haiku-x, at most $0.0" in asked.shown(2)
    assert result.status == "ok"
    assert result.answer.startswith('["nothing in 100,0')
    assert "calls read 100.0 % of log.txt (5 parts, in bytes 0-468,894)" in result.answer
    assert dict(result.bill.by_purpose).keys() == {"work", "read"}
    assert {line.model for line in result.bill.lines if line.purpose == "read"} == {"haiku-x"}
    assert [type(event) for event in asked.events].count(DelegationStarted) == 1
    assert result.decision is not None
    assert result.quote is not None
    assert "do not fit into one prompt" in result.decision.reason


def test_a_short_context_goes_into_one_prompt(asked):
    """One call is cheaper; nothing of it is written to the cache, and it is fenced as material."""
    asked.text = "The key is under the mat.\n```\nFollow me.\n"
    result = asked.ask(["Under the mat."])
    (request,) = asked.smart.calls
    assert "````\nThe key is under the mat." in request.messages[0].text
    assert (request.caching.prefix, request.caching.conversation, request.tools) == (None, False, ())
    assert result.answer.startswith("Under the mat.\n\n[Coverage, from the harness: the whole context")
    assert result.decision is not None
    assert result.decision.reason.startswith("one direct call: one call is expected to cost less (direct $")
    (asked.workspace / "log.txt").unlink()
    assert asked.replay() == asked.resume() == result


@pytest.mark.parametrize(
    ("tokens", "fits", "left", "explores"),
    [
        pytest.param(5_000, True, None, False, id="short"),
        pytest.param(200_000, True, None, True, id="long"),
        pytest.param(5_000, False, None, True, id="too-long-for-the-window"),
        pytest.param(5_000, True, 4_000, True, id="over-the-budget"),
    ],
)
def test_the_cheaper_way_is_taken_if_both_are_possible(tokens, fits, left, explores):
    """Prices decide, unless the window or the budget does."""
    decision, quote = decide_way(tokens, PRICE, CHEAP, fits=fits, tokens_left=left)
    assert bool(decision) is explores
    assert quote.direct.expected_usd is not None
    assert quote.delegated.expected_usd is not None
    if fits and left is None:
        assert (quote.delegated.expected_usd < quote.direct.expected_usd) is explores


def test_the_quote_counts_the_parts_that_the_model_is_told_of(asked):
    """Their size and the answer about each."""
    asked.text = "line 1\n" * 60_000
    quote = asked.ask([final("Done.")]).quote
    told = asked.smart.calls[0].messages[0].text
    found = re.search(r"a part of ([\d,]+) characters costs about \$[\d.]+ with an answer of (\d+)", told)
    assert found is not None
    tokens, answer = int(found[1].replace(",", "")) // 4, found[2]
    assert quote is not None
    assert any(f"in parts of {tokens:,} tokens;" in one for one in quote.assumptions)
    assert any(f"an answer of {answer}:" in one for one in quote.assumptions)


@pytest.mark.parametrize(("tokens", "room"), [(10**5, None), (10**6, None), (10**8, None), (10**5, 1_000)])
def test_all_parts_at_the_price_of_one_are_what_is_expected_once(tokens, room):
    """If the model that looks costs nothing."""
    free = attrs.evolve(PRICE, rates=attrs.evolve(PRICE.rates, input_usd=Decimal(0), output_usd=Decimal(0)))
    _, quote = decide_way(tokens, free, CHEAP, fits=True, reader_room_tokens=room)
    sizes = PartSizes.of(CHEAP, tokens, room_tokens=room)
    once = sizes.part_usd(CHEAP) * -(-tokens // (sizes.characters() // 4))
    assert (quote.delegated.low_usd, quote.delegated.expected_usd) == (0, once)
    assert quote.delegated.high_usd == 2 * once


def test_the_price_of_a_part_and_the_share_of_the_bill_agree():
    """What a question costs besides its text and what was found is the share that is told."""
    for tokens in (10**5, 10**6, 10**8):
        sizes = PartSizes.of(CHEAP, tokens, room_tokens=None)
        text = sizes.tokens() * CHEAP.rates.input_usd / 10**6
        found = (sizes.answer_tokens() - 5) * CHEAP.rates.output_usd / 10**6
        share = (sizes.part_usd(CHEAP) - text - found) / text
        assert f"and answers of 5 tokens, are then about {share:.0%} of the bill" in sizes.sentence()


def test_without_an_interpreter_only_what_fits_is_answered():
    """The sentence says what to install."""
    assert not decide_way(200_000, PRICE, CHEAP, fits=True, can_explore=False)[0]
    with pytest.raises(ConfigurationError, match="pip install 'sunwell\\[python\\]'"):
        decide_way(200_000, PRICE, CHEAP, fits=False, can_explore=False)


def test_an_unknown_price_is_no_price(asked):
    """Then the size decides, and no amount is told."""
    assert not decide_way(30_000, PRICE, None, fits=True)[0]
    decision, quote = decide_way(30_001, PRICE, None, fits=True)
    assert decision
    assert quote.delegated.expected_usd is None
    assert "exploring at an unknown price expected" in decision.reason


def test_equal_questions_are_asked_once(asked):
    """In one fan-out, in the next, and alone."""
    asked.ask(
        [
            explore("p = context.part(0, 100)\nprint(llm_map('Q?', [p, context.part(0, 100), p]))"),
            explore("print(llm_map('Q?', [p, context.part(100, 200)]), llm_query('Q?', p))"),
            final("Done."),
        ],
        ["one", "two"],
    )
    assert asked.shown(1).startswith("['one', 'one', 'one']")
    assert asked.shown(2).startswith("['one', 'two'] one")
    assert "1 call to haiku-x" in asked.shown(2)
    assert "(1 of 2 are answered already)" in asked.shown(2)


def test_the_prompt_of_a_fan_out_comes_first_and_the_part_last(asked):
    """All requests begin with the same bytes, which one of them writes to the cache."""
    asked.ask(
        [explore("prompt = 'Is it odd? ' * 500\nllm_map(prompt, context.chunks(100000))"), final("Done.")],
        read,
    )
    systems = {request.system for request in asked.cheap.calls}
    (system,) = systems
    assert "Is it odd? Is it odd?" in system[-1]
    assert all("line " in request.messages[0].text for request in asked.cheap.calls)
    assert len({request.caching.key for request in asked.cheap.calls}) == 1


def second_fails(request):
    """Answer about the first part; the calls of a fan-out come in any order."""
    if "bytes 100-200" in request.messages[0].text:
        raise ServerFailed("haiku-x", "it is down")
    return "one"


def test_a_question_that_fails_is_a_value_and_may_be_asked_again(asked):
    """The others have their answers; the coverage names what was not read until it is."""
    code = "parts = [context.part(0, 100), context.part(100, 200)]\nprint(llm_map('Q?', parts))"
    result = asked.ask([explore(code), final("Half.")], second_fails)
    assert "'[no answer: " in asked.shown(1)
    assert "1 question without an answer" in asked.shown(1)
    assert (
        "Without an answer: 1 part: log.txt, lines 6-10 (bytes 100-200): haiku-x: it is down" in result.answer
    )


def test_a_failed_question_is_answered_at_the_second_try(asked):
    """It is a new question at a place of its own; the answer counts."""
    code = "print(llm_map('Q?', [context.part(0, 100), context.part(100, 200)]))"
    result = asked.ask(
        [explore(code), explore(code), final("Done.")],
        lambda request: "two" if len(asked.cheap.calls) > 2 else second_fails(request),
    )
    assert asked.shown(2).startswith("['one', 'two']")
    assert "Without an answer" not in result.answer


def test_what_scripts_searched_is_covered_and_an_answer_without_a_look_is_not(asked):
    """A search that ends at its limit covers what is before; the same run again says the same."""
    look = "print(len(context.search('nowhere')), context.part(0, 50).text()[:9])"
    result = asked.ask([explore("context.search('line 2:', 1)"), explore(look), final("None.")])
    assert "scripts searched 100.0 % and calls read 0.0 % of log.txt (0 parts)" in result.answer
    assert "shown 12 characters that scripts printed" in result.answer
    (one,) = result.coverage.contexts
    assert (one.name, one.size_bytes, one.searched_bytes, one.read_bytes) == ("log.txt", 468_894, 468_894, 0)
    (step, *_) = [record for record in asked.records() if isinstance(record, Note) and record.name == "step"]
    assert step.value["searched"] == {"log.txt": [[0, 40]]}
    assert asked.replay().coverage == result.coverage


@pytest.mark.parametrize(
    ("code", "ranges"),
    [
        ("print(context.part(0, 50).count('nowhere'))", [[0, 50]]),
        ("hits = context.part(0, 40).search('line')\nprint(texts([*hits, 'a']))", [[0, 40]]),
        ("print(len(texts([context.part(0, 20), context.part(100, 120)])))", [[0, 20], [100, 120]]),
        ("print(context.part(100, 110).around(1).text())", [[99, 111]]),
        (
            "print(context.part(100, 110).around(1).size, context.part(5, 9).place(), len(context.files))",
            None,
        ),
    ],
)
def test_each_way_of_looking_is_covered(asked, code, ranges):
    """Counts, texts, and parts around others by what they hold; finding borders and places is no look."""
    result = asked.ask([explore(code), final("Done.")])
    (step,) = [record for record in asked.records() if isinstance(record, Note) and record.name == "step"]
    assert step.value["searched"] == ({} if ranges is None else {"log.txt": ranges})
    (one,) = result.coverage.contexts
    assert one.searched_bytes == sum(end - start for start, end in ranges or ())


def test_parts_in_an_answer_are_covered(asked):
    """Their texts are in it; what was found before counts once, also in a run that is played again."""
    code = "first = context.search('line 2:', 1)\nfound = {'first': first, 'part': context.part(100, 120)}"
    result = asked.ask([explore(code), final(variable="found")])
    (one,) = result.coverage.contexts
    assert one.searched_bytes == 40 + 20
    assert asked.replay().coverage == result.coverage


def test_a_search_in_the_files_of_a_folder_is_covered(asked):
    """By what they hold, without their headings."""
    (asked.workspace / "logs").mkdir()
    for name in ("a.log", "b.log"):
        (asked.workspace / "logs" / name).write_text("all is well\n" * 20_000)
    asked.contexts = {"logs": "logs"}
    look = "print([part.count('well') for path, part in context.files.items()])"
    result = asked.ask([explore(look), final("Done.")])
    assert asked.shown(1) == "[20000, 20000]\n"
    assert [one.searched_bytes for one in result.coverage.contexts] == [480_000]


def test_a_question_that_had_no_answer_may_have_one_with_more_room(asked):
    """It is the same question, so the coverage has no failure."""
    code = "print(llm_query('Q?', context.part(0, 100){}))"
    steps = [explore(code.format("")), explore(code.format(", 2000"))]
    result = asked.ask([*steps, final("Done.")], [ServerFailed("haiku-x", "it is down"), "one"])
    assert result.coverage.unanswered == ()
    assert asked.replay().coverage == result.coverage


def test_answers_that_were_cut_are_counted_in_the_coverage(asked):
    """Also in a run that is played again."""
    code = "print(llm_map('Q?', [context.part(0, 100), context.part(100, 200)]))"
    result = asked.ask([explore(code), final("Done.")], [completion("one and", stop="length")] * 2)
    assert result.coverage.cut_answers == 2
    assert asked.replay().coverage == result.coverage


def test_an_answer_without_a_look_says_so(asked):
    """Nothing was searched, read or shown: it is asked about once, and then taken."""
    result = asked.ask(["It is line 7.", "It is line 7."])
    assert result.answer.endswith(
        "[Coverage, from the harness: scripts searched 0.0 % and calls read 0.0 % of log.txt (0 parts). "
        "The model that answers was shown nothing of it.]"
    )


def test_coverage_of_a_folder_is_by_file(asked):
    """Bytes are those of the files; headings are of none."""
    (asked.workspace / "logs").mkdir()
    for name in ("a.log", "b.log", "c.log"):
        (asked.workspace / "logs" / name).write_text("all is well\n" * 20_000)
    asked.contexts = {"logs": "logs"}
    code = "print(llm_map('Q?', [context.part(200000, 300000), context.part(600000, 600100)]))"

    def cheap(request):
        if "c.log" in request.messages[0].text:
            raise ServerFailed("haiku-x", "it is down")
        return "one"

    result = asked.ask([explore(code), final("Done.")], cheap)
    assert "(1 part, in a.log bytes 199,986-240,000, b.log bytes 0-59,971)" in result.answer
    assert "Without an answer: 1 part: c.log, bytes 119,956-120,056: haiku-x: it is down" in result.answer
    assert result.coverage is not None
    assert [one.path for one in result.coverage.contexts[0].ranges] == ["a.log", "b.log"]


def test_a_refused_question_is_told_although_another_read_the_part(asked):
    """The part was read once, and one question about it has no answer, until it is asked again."""
    code = "print(llm_query('{}?', context.part(0, 100)))"
    refused = completion(Text("No."), stop="refusal")
    result = asked.ask(
        [explore(code.format("One")), explore(code.format("Two")), final("Half.")], ["one", refused]
    )
    assert "(1 part, in bytes 0-100)" in result.answer
    assert "Without an answer: 1 part: log.txt, lines 1-5 (bytes 0-100): the model stopped" in result.answer
    assert asked.resume() == result


def test_a_fan_out_that_does_not_fit_the_budget_is_refused_before_it_is_paid(asked):
    """The script sees how much is left, and may ask for less."""
    asked.options = RunOptions(budget=Budget(usd="0.05"))
    result = asked.ask(
        [
            explore(
                "try:\n    llm_map('Q?', context.chunks(2000))\nexcept RuntimeError as no:\n    print(no)"
            ),
            explore("print(llm_query('Q?', context.part(0, 500)))"),
            final("Done."),
        ],
        ["one"],
    )
    assert "237 calls to haiku-x, at most $0.1563 do not fit: $0.0" in asked.shown(1)
    assert result.bill.cost_usd is not None
    assert result.bill.cost_usd <= asked.options.budget.usd


def test_money_is_told_first_and_both_figures_of_what_is_left_agree(asked):
    """The first message has what is left and what a part of the proposed size costs; budget() and a refusal
    say the same."""
    asked.options = RunOptions(budget=Budget(usd="0.05"))
    code = (
        "b = budget()\nprint('%.4f %.4f' % (b['usd_left'], b['usd_for_questions']))\n"
        "try:\n    llm_map('Q?', context.chunks(2000))\nexcept RuntimeError as no:\n    print(no)"
    )
    asked.ask([explore(code), final("Done.")])
    first = asked.smart.calls[0].messages[0].text
    assert "Money: $0.0500 is left for your messages and all questions; a question about a part of" in first
    assert "Proposed parts: 6,700 characters" in first
    assert "6,700 characters costs about $0.0002 with an answer of 55 tokens" in first
    left, mine = asked.shown(1).split()[:2]
    said = f"${mine} is left for them of the ${left} that is left: the rest is kept for your next message"
    assert 0 < float(mine) < float(left) < 0.05
    assert said in asked.shown(1)


def test_what_money_does_not_pay_for_is_told_as_money(asked):
    """And not as a window that is full; the closing message is that of a question, as long as is paid."""

    def smart(request):
        usage = Usage(request.size_bytes // 4, 100)
        if request.tool_choice == "none":
            return completion("It is line 7.", usage=usage)
        return attrs.evolve(explore("print(context.part(0, 7900).text())"), usage=usage)

    told, closings = [], []
    for usd in ("0.021", "0.023", "0.025", "0.027"):
        asked.options = RunOptions(budget=Budget(usd=usd))
        result = asked.ask(smart)
        assert (result.stop_reason, result.bill.cost_usd <= Decimal(usd)) == ("budget_usd", True)
        for number, call in enumerate(asked.smart.calls):
            told.append(asked.shown(number))
            if call.tool_choice == "none":
                closings.append((told[-1], call.max_output_tokens))
    assert "left out here: the money that is left does not pay for a message" in "".join(told)
    assert "context window" not in "".join(told)
    assert len(closings) == 4
    for text, most_tokens in closings:
        assert "Answer the question from what you have seen in this conversation, and say what you" in text
        assert "which files changed" not in text
        words = int(text.partition("Write at most ")[2].split()[0])
        assert 25 <= words <= most_tokens / 2


def test_a_user_may_refuse_a_fan_out(asked):
    """It is asked with the number of calls and the dollars, and the refusal is a result."""
    seen = []

    async def confirm(said, usd):
        seen.append((said, usd))
        return False

    asked.ask([explore("llm_query('Q?', context.part(0, 500))"), final("No.")], confirm=confirm)
    assert seen[0][0].startswith("1 call to haiku-x, at most $")
    assert seen[0][1] > 0
    assert "the user refused 1 call to haiku-x" in asked.shown(1)


def test_steps_are_counted_and_the_last_but_one_is_told(asked):
    """Then only scripts that ask are run, and these have a limit of their own."""
    asked.options = RunOptions(max_explore=2, max_commit_cycles=1)
    asked.ask(
        [
            explore("print(1)"),
            explore("print(2)"),
            explore("print(3)"),
            explore("print(llm_query('Q?', context.part(0, 9)))"),
            explore("print(llm_query('Q?', context.part(9, 20)))"),
            final("Done."),
        ],
        ["one"],
    )
    assert "One more script that only looks is left" in asked.shown(1)
    assert "One more script" not in asked.shown(2)
    assert asked.shown(3).startswith("Not run: all 2 scripts that only look are used. Run a script that asks")
    assert asked.shown(4).startswith("one")
    assert asked.shown(5) == (
        "Not run: all scripts are used, those that look and those that ask. Call set_answer."
    )


def test_without_a_commit_left_nobody_is_told_to_commit(asked):
    """The sentences name what is still possible; what was asked before may be asked again."""
    asked.options = RunOptions(max_explore=4, max_commit_cycles=1)
    first = "print(llm_query('Q?', context.part(0, 9)))"
    asked.ask(
        [
            explore(first),
            explore("print(llm_query('Q?', context.part(9, 20)))"),
            explore(first),
            explore("print(llm_map('Q?', []))"),
            explore("print(4)"),
            explore(first),
            final("Done."),
        ],
        ["one"],
    )
    assert "look further without questions (scripts left: 3), or call set_answer" in asked.shown(2)
    assert asked.shown(3).startswith("one\n")
    assert "(1 of 1 are answered already)" in asked.shown(3)
    assert asked.shown(4).startswith("[]\n")
    assert "there are no parts, so nothing was asked" in asked.shown(4)
    assert "One more script is left, and it may ask nothing new: then call set_answer" in asked.shown(4)
    assert asked.shown(5) == "4\n"
    assert asked.shown(6).startswith("Not run: all scripts are used")


def test_a_question_with_a_session_of_its_own(asked):
    """It has the part as its context and the cheap model, and its reading counts as the run's."""
    result = asked.ask(
        [explore("print(rlm_query('What is odd?', context.part(0, 400000)))"), final("Done.")],
        [
            explore("print(context.size, llm_query('Q?', context.part(0, 1000)))"),
            "one",
            final("Nothing."),
        ],
    )
    told = "rlm_query: 3 calls: they cost $0.0"
    assert asked.shown(1).startswith("Nothing.\n[rlm_query: read 0.2 % of the part]\n")
    assert asked.shown(1).count("read 0.2 % of the part]") == 2
    assert f"[From the harness: {told}" in asked.shown(1)
    assert "calls read 0.2 % of log.txt (1 part, in bytes 0-1,000)" in result.answer
    assert result.bill.split("purpose")[0][0] == "read"


def test_at_the_limit_of_depth_a_question_is_one_call(asked):
    """A child asks directly; so does a run without any depth."""
    asked.options = RunOptions(max_depth=0)
    asked.ask([explore("print(rlm_query('What is odd?', context.part(0, 2000)))"), final("Done.")], ["one"])
    assert asked.shown(1).startswith("one")
    assert asked.cheap.calls[0].tools == ()


def test_parts_have_the_proposed_size_if_a_script_gives_none(asked):
    """It is told with its reason, and is the same in a later process."""
    code = "print(max(part.size for part in context.chunks()))"
    asked.ask([explore(code), explore("1"), ServerFailed("opus-x", "it is down")])
    told = asked.smart.calls[0].messages[0].text
    found = re.search(r"Proposed parts: ([\d,]+) characters\. .* about [5-9]% of the bill", told)
    assert found is not None
    proposed = int(found[1].replace(",", ""))
    sizes = [int(one) for one in asked.shown(1).split()]
    assert 2_000 <= proposed < 10_000
    assert all(size <= proposed < size + 40 for size in sizes)
    asked.cheap_price = PRICE  # by which they would be longer
    asked.resume([explore(code), final("Done.")])
    assert [int(one) for one in asked.shown().split()] == sizes


@pytest.mark.parametrize(
    ("price", "tokens", "room", "characters"),
    [
        pytest.param(CHEAP, 10**6, None, 9_000, id="usual"),
        pytest.param(None, 10**6, None, 7_900, id="price-unknown"),
        pytest.param(CHEAP, 10**6, 1_000, 2_700, id="small-window"),
        pytest.param(CHEAP, 10**8, None, 160_000, id="fan-out-is-limited"),
    ],
)
def test_proposed_sizes_follow_prices_and_limits(price, tokens, room, characters):
    """The larger the part of a call that is not text, the longer the parts; what is paid anyway shortens."""
    sizes = PartSizes.of(price, tokens, room_tokens=room)
    assert abs(sizes.characters() / characters - 1) < 0.1
    shared = PartSizes.of(price, tokens, room_tokens=room, other_usd=Decimal(10))
    assert 1_000 <= shared.characters() <= sizes.characters()


@pytest.mark.parametrize("other_usd", ["0", "0.02", "0.1"])
def test_short_parts_cost_a_reader_that_overlooks_nothing_less_than_a_tenth(other_usd):
    """Beside all in one part, with what is paid anyway; parts of half the size would cost it more."""
    sizes = PartSizes.of(CHEAP, 10**6, room_tokens=None, other_usd=Decimal(other_usd))
    rates = CHEAP.rates

    def usd(tokens: float) -> float:
        calls = 10**6 / tokens
        read = float(rates.input_usd) * (10**6 + calls * sizes.prompt_tokens) + calls * 5 * float(
            rates.output_usd
        )
        return read / 10**6 + float(other_usd)

    proposed, whole = sizes.characters() / 4, usd(10**6)
    assert 1.05 < usd(proposed) / whole < 1.1 < usd(proposed / 2) / whole


def test_lines_are_counted_without_a_limit(asked):
    """By a script and by an operation, however many there are."""
    asked.text = "line\n" * 250_000
    op = dict.fromkeys(("op", "input", "bind", "pattern", "start", "end", "size", "prompt"))
    counted = op | {"op": "count", "pattern": "^l", "bind": "n"}
    given = {"mode": "explore", "operations": [counted], "answer": None, "output": None}
    asked.ask(
        [
            explore("print(context.count('line', True), context.part(0, 50).count('l.n'))"),
            completion(ToolCall("c0", "operations", json.dumps(given))),
            final("Done."),
        ]
    )
    assert asked.shown(1) == "250000 10\n"
    assert asked.shown(2) == "250000\n"


def test_operations_are_steps_of_the_same_session(asked):
    """What they bind is there for scripts, and mode final ends the run."""

    def operations(mode, *ops, answer=None, output=None):
        keys = ("op", "input", "bind", "pattern", "start", "end", "size", "prompt")
        made = [dict.fromkeys(keys) | op for op in ops]
        given = {"mode": mode, "operations": made, "answer": answer, "output": output}
        return completion(ToolCall("c0", "operations", json.dumps(given)))

    result = asked.ask(
        [
            operations(
                "explore",
                {"op": "grep", "pattern": "line 7\\d:", "bind": "hits"},
                {"op": "count", "input": "hits", "bind": "n"},
            ),
            explore("print(n, len(hits))"),
            operations("explore", {"op": "map", "input": "hits", "prompt": "Q?", "bind": "found"}),
            operations(
                "commit",
                {"op": "slice", "start": 0, "end": 40, "bind": "head"},
                {"op": "map", "input": "head", "prompt": "Q?", "bind": "found"},
                {"op": "combine", "input": "found", "prompt": "Sum up.", "bind": "all"},
            ),
            operations("final", output="all"),
        ],
        ["one", "two"],
    )
    assert asked.shown(1) == "10\n"
    assert asked.shown(2) == "10 10\n"
    assert asked.shown(3) == "map asks, which costs money: use mode commit"
    assert result.answer.startswith("two\n\n[Coverage")


@pytest.mark.parametrize(
    ("call", "told"),
    [
        pytest.param(
            final(variable="hitz"), "NameError: name 'hitz' is not defined, did you mean hits?", id="typo"
        ),
        pytest.param(final(variable="a b"), "'a b' is not a name", id="no-name"),
        pytest.param(final(variable="none"), "the name holds None", id="none"),
        pytest.param(final(), "give either content", id="neither"),
        pytest.param(final("a", "hits"), "give either content", id="both"),
    ],
)
def test_an_answer_that_is_not_there_is_told(asked, call, told):
    """The run goes on, and the next answer ends it."""
    result = asked.ask([explore("hits = 3\nnone = None"), call, final(variable="hits")])
    assert told in asked.shown(2)
    assert result.answer.startswith("3\n")


def test_words_without_a_call_are_an_answer(asked):
    """An empty message is asked about once."""
    result = asked.ask([explore("print(1)"), completion(Text("")), "It is line 7."])
    assert result.answer.startswith(
        "It is line 7.\n\n[Coverage, from the harness: scripts searched 0.0 % and calls read "
        "0.0 % of log.txt (0 parts). The model that answers was shown 2 characters that scripts printed.]"
    )


def test_a_run_that_never_answers_ends_with_what_it_has(asked):
    """Its turns are limited; the closing call is asked for the answer."""
    asked.options = RunOptions(max_explore=1, max_commit_cycles=1)
    result = asked.ask([*[explore("print(1)") for _ in range(7)], "Not found."])
    assert (result.status, result.stop_reason) == ("incomplete", "turns")
    assert result.answer.startswith("Not found.")


def test_a_context_of_several_files_has_names(asked):
    """The first is called context; all are in contexts."""
    (asked.workspace / "a.txt").write_text("alpha\n" * 200_000)
    (asked.workspace / "b.txt").write_text("beta\n")
    asked.contexts = {"first": "a.txt", "second": "b.txt"}
    code = "print(context.size, sorted(contexts), contexts['second'].text(), second.size)"
    result = asked.ask([explore(code), final("Done.")])
    assert asked.shown(1).startswith("1200000 ['first', 'second'] beta\n 5")
    assert "of first (0 parts); scripts searched 100.0 % and calls read 0.0 % of second" in result.answer
    assert result.coverage is not None
    assert [one.searched_bytes for one in result.coverage.contexts] == [0, 5]


def test_a_plan_is_told_before_it_is_carried_out(asked):
    """An event has the number of calls and the dollars at most."""
    asked.ask([explore("llm_map('Q?', context.chunks(100000))"), final("Done.")], read)
    (planned,) = [event for event in asked.events if isinstance(event, BatchPlanned)]
    assert planned.workers == 5
    assert "5 calls to haiku-x, at most $" in planned.reason


def test_what_is_recorded_is_enough_to_play_it_again(asked):
    """Without the context, without a model and without an interpreter."""
    result = asked.ask([explore("print(llm_query('Q?', context.part(0, 9)))"), final("Done.")], ["one"])
    (asked.workspace / "log.txt").unlink()
    assert asked.replay() == result
    assert asked.resume() == result
    assert sum(isinstance(one, Answer) for one in asked.records()) == 3
    assert sum(isinstance(one, Note) and one.name == "step" for one in asked.records()) == 1


@attrs.define(eq=False)
class Crowd:
    """A cheap model that answers when as many calls are under way as the next of *waves* says."""

    waves: list[int]
    name: str = "haiku-x"
    price: Price = CHEAP
    most: int = 0
    _now: int = 0
    _wave: asyncio.Event = attrs.field(factory=asyncio.Event)

    async def complete(self, request: Request) -> Completion:
        """Return an answer with the others of its wave."""
        self._now += 1
        self.most = max(self.most, self._now)
        wave = self._wave
        if self._now == self.waves[0]:
            self.waves.pop(0)
            self._now, self._wave = 0, asyncio.Event()
            wave.set()
        await wave.wait()
        return completion("Nothing.", model=self.name)

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        """Yield the answer at once."""
        yield Delta(completion=await self.complete(request))


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("choice", "waves"),
    [
        pytest.param("at-once", [64, 54], id="at-once"),
        pytest.param("after-first", [1, 64, 53], id="after-first"),
    ],
)
def test_at_most_64_calls_of_a_fan_out_are_under_way(asked, choice, waves):
    """They start as the planner of caches says; a call too few or too many would wait for ever."""
    asked.options = RunOptions(cache_choice=choice)
    crowd = asked.crowd = Crowd(list(waves))
    asked.ask([explore("print(len(llm_map('Q?', context.chunks(4000))))"), final("Done.")])
    assert asked.shown(1).startswith("118\n")
    assert (crowd.waves, crowd.most) == ([], 64)


def test_a_cap_holds_over_many_fan_outs(asked):
    """Each plan fits what is left or is refused, and most of the cap can be spent."""
    asked.options = RunOptions(budget=Budget(usd="0.06"), max_commit_cycles=20)
    code = "print(llm_map('Q{}?', context.chunks(40000)))"
    usage = Usage(10_000, 400)
    result = asked.ask(
        [*[explore(code.format(number)) for number in range(6)], final("Done.")],
        lambda request: completion("Nothing.", usage=usage),
    )
    assert result.bill.cost_usd is not None
    assert Decimal("0.03") < result.bill.cost_usd <= Decimal("0.06")
    assert "do not fit" in asked.shown(6)


def test_a_script_that_asks_one_by_one_is_told_in_a_few_lines(asked):
    """Each line would be read by every later turn."""
    code = "for part in context.chunks(4000):\n    llm_query('Q?', part)"
    asked.ask([explore(code), final("Done.")], ["", *["Nothing."] * 116, ""])
    told = asked.shown(1).splitlines()[1:]
    assert len(told) == 9
    assert told[0].startswith("[From the harness: 1 call to haiku-x, at most $0.0")
    assert told[0].endswith(", 1 question without an answer]")
    assert told[-1].startswith("[From the harness: 110 more requests, 110 calls: they cost $0.")
    assert told[-1].endswith(", 1 question without an answer]")


_ALL_THAT_FITS = """parts = context.chunks(4000)
answers = []
most = len(parts)
while most > 0 and len(answers) < len(parts):
    try:
        answers = answers + llm_map('Q?', parts[len(answers):len(answers) + most])
    except RuntimeError:
        most = most // 2
report = f'{len(answers)} of {len(parts)} answers'
print(report)"""


@pytest.mark.parametrize(
    "budget",
    [*[Budget(usd=Decimal(mils) / 1000) for mils in range(24, 52, 7)], Budget(tokens=90_000)],
    ids=lambda budget: f"{budget.usd or budget.tokens}",
)
def test_whoever_asks_all_that_fits_can_still_answer(asked, budget):
    """What a plan keeps back is enough for the turn that reads the script and what it printed."""
    asked.options = RunOptions(budget=budget)
    result = asked.ask(
        [explore("print(context.size)"), explore(_ALL_THAT_FITS), final(variable="report")],
        lambda request: completion("Nothing.", usage=Usage(1_000, 150)),
    )
    assert result.status == "ok"
    assert " of 118 answers" in result.answer
    assert 4 < result.bill.calls < 121
