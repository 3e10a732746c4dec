"""What a model is told of limits and of what it cannot do, before it takes a part for the whole."""

import json
import re

import pytest

from sunwell.context.options import RunOptions
from sunwell.core import ToolCall
from sunwell.core.model import Request
from sunwell.errors import ServerFailed
from sunwell.testing import completion
from sunwell.tools.python_session import MODULES
from tests.agent.asking.conftest import explore, final


def cut(text: str):
    """Return an answer that ended at its limit of tokens."""
    return completion(text, stop="length")


def operations(mode, *ops, output=None):
    """Return a message with these operations."""
    keys = ("op", "input", "bind", "pattern", "start", "end", "size", "prompt")
    made = [dict.fromkeys(keys) | op for op in ops]
    given = {"mode": mode, "operations": made, "answer": None, "output": output}
    return completion(ToolCall("c0", "operations", json.dumps(given)))


def test_a_search_that_stopped_at_its_limit_says_so(asked):
    """A count has no limit; a search for one match asks only whether there is one."""
    code = "print(len(context.search('all is well')), context.count('all is well'), context.count('.', True))"
    asked.ask(
        [
            explore(code),
            explore("print(len(context.search('well', 7)), len(context.search('line', 2)))"),
            explore("print(len(context.search('line', 1)), len(context.search('line 77:')))"),
            final("Done."),
        ]
    )
    assert asked.shown(1) == (
        "100 20000 0\n\n[From the harness: 1 search call stopped at the limit of 100: more lines may match; "
        ".count(pattern) counts all]"
    )
    assert "2 search calls stopped at the limit of 2, 7" in asked.shown(2)
    assert asked.shown(3) == "1 1\n"


def test_operations_count_all_and_show_the_rest_of_a_list(asked):
    """A count of a list that grep has cut says so; a slice shows what the first look left out."""
    asked.ask(
        [
            operations("explore", {"op": "grep", "pattern": "well", "bind": "hits"}),
            operations("explore", {"op": "count", "input": "hits", "bind": "n"}),
            operations("explore", {"op": "count", "pattern": "well", "bind": "n"}),
            operations("explore", {"op": "slice", "input": "hits", "start": 5, "end": 40, "bind": "more"}),
            operations("explore", {"op": "count", "input": "more", "pattern": "line 7:", "bind": "n"}),
            final("Done."),
        ]
    )
    assert asked.shown(1).startswith("1000 parts, the first 5 of them (slice shows others):\n")
    assert "1 search call stopped at the limit of 1,000" in asked.shown(1)
    assert asked.shown(2) == "1,000 is the limit of grep: count with a pattern counts all lines\n1000\n"
    assert asked.shown(3) == "20000\n"
    assert asked.shown(4).startswith("35 parts\n")
    assert "line 40: all is well" in asked.shown(4)
    assert asked.shown(5) == "1\n"


def test_an_answer_that_was_cut_is_not_taken_for_a_whole_one(asked):
    """It ends with a mark, is counted, and is in the coverage, also when it comes back."""
    code = "print(llm_map('Q?', [context.part(0, 100), context.part(100, 200)]))"
    result = asked.ask(
        [explore(code), explore(code), explore("print(context.size)"), final("Done.")],
        lambda request: cut("one and") if "line 1:" in request.messages[0].text else "two",
    )
    mark = "[cut off at 600 tokens: raise most_tokens, or ask for smaller parts]"
    assert asked.shown(1).startswith(f"['one and\\n{mark}', 'two']\n")
    assert ", 1 answer cut off]" in asked.shown(1)
    assert asked.shown(2).startswith(f"['one and\\n{mark}', 'two']\n")
    assert "1 answer of these calls ended at a limit of tokens, cut off." in result.answer


def test_a_cut_answer_is_asked_for_again_with_more_room(asked):
    """The whole one replaces it in the coverage, also in a resumed run."""
    asked.options = RunOptions(max_commit_cycles=3)
    code = "x = llm_query('Q?', context.part(0, 100){})\nprint(x)"
    first = asked.ask(
        [explore(code.format("")), explore(code.format(", 2000")), final("Done.")],
        [cut("one and"), "one, two"],
    )
    assert asked.shown(2).startswith("one, two\n")
    assert [request.max_output_tokens for request in asked.cheap.calls] == [600, 2000]
    assert "cut off" not in first.answer


def test_a_resumed_run_knows_the_whole_answer_and_the_cut_one(asked):
    """Each comes out of its own step again, and nothing is paid again."""
    code = "{} = llm_query('Q?', context.part(0, 100){})"
    steps = [explore(code.format("x", "")), explore(code.format("y", ", 2000"))]
    asked.ask([*steps, ServerFailed("opus-x", "it is down")], [cut("one and"), "one, two"])
    result = asked.resume([explore("print(x[:9], y)"), final("Done.")])
    assert asked.shown(1) == "one and\n[ one, two\n"
    assert "cut off" not in result.answer


def test_the_text_around_a_hit(asked):
    """A range counts within the part, so one that is outside says what it counts from."""
    asked.ask(
        [
            explore(
                "hit = context.search('line 77:')[0]\nprint(hit.around(30).text())\n"
                "print(hit.start, hit.end, context.part(hit.start, hit.end).text())"
            ),
            explore("print(hit.part(hit.start - 100, hit.end + 100).text())"),
            explore("print(context.part(-100, 5))"),
            explore("print(hit.part(0, 400).text(), hit.part(5).text())"),
            final("Done."),
        ]
    )
    assert asked.shown(1).startswith(
        "line 76: all is well\nline 77: all is well\nline 78: all is well\n\n1587 1608 line 77: all is well\n"
    )
    assert "part(1,487, 1,708) is no range of this part: both numbers count from 0 at its" in asked.shown(2)
    assert "the text around a hit is hit.around(characters)" in asked.shown(2)
    assert "part(-100, 5) is no range" in asked.shown(3)
    assert asked.shown(4) == "line 77: all is well\n 77: all is well\n\n"


@pytest.mark.timeout(60)
def test_the_texts_of_many_parts_are_one_call(asked):
    """A call for each would be refused at 10,000, and the names stay."""
    asked.ask(
        [
            explore(
                "hits = context.search('all is well', 20000)\nfound = texts(hits)\n"
                "print(len(found), found[-1], texts(['a', hits[0]]))"
            ),
            explore("for hit in hits:\n    hit.text()"),
            explore("print(len(hits), texts(context))"),
            final("Done."),
        ]
    )
    assert asked.shown(1).startswith("20000 line 20000: all is well\n ['a', 'line 1: all is well\\n']")
    assert "RuntimeError: a script may make 10,000 calls, not more" in asked.shown(2)
    assert "texts takes a list of parts" in asked.shown(3)


def test_words_before_a_look_are_asked_about_once(asked):
    """A message without a call is the answer, and a model may not know that."""
    result = asked.ask(["I begin with the first lines.", explore("print(1)"), "It is line 7."])
    assert "You have not looked into the context, and a message without a call ends the run" in asked.shown(1)
    assert result.answer.startswith("It is line 7.")


def test_words_that_are_meant_are_an_answer(asked):
    """Sent again, they end the run; played again, it is the same."""
    result = asked.ask(["There is none.", "There is none."])
    assert result.answer.startswith(
        "There is none.\n\n[Coverage, from the harness: scripts searched 0.0 % and"
    )
    assert asked.replay() == asked.resume() == result


@pytest.mark.parametrize(
    ("code", "works"),
    [
        ("def f():\n    yield 1", False),
        ("d = {'a': 1}\ndel d['a']", False),
        ("d = {'a': 1}\nd.pop('a')", True),
        ("class A(Exception):\n    pass", False),
        ("d = {'a': 1}\nsorted(d, key=d.get)", False),
        ("sorted(['a'], key=str.lower)", False),
        ("sorted(['a'], key=lambda one: one.lower())", True),
        ("import re\nre.sub('a', lambda found: 'b', 'a')", False),
        ("import re\nre.sub('a', 'b', 'a')", True),
        ("set().union([1], [2])", False),
        ("set().union([1])", True),
    ],
)
def test_what_is_not_in_this_python_is_told(asked, code, works):
    """Each form that the tool names fails, and what it says instead runs."""
    asked.ask([explore(f"{code}\nprint('ran')"), final("Done.")])
    assert (asked.shown(1) == "ran\n") is works
    assert "Not in this Python: yield, del (use pop)" in asked.smart.calls[0].tools[0].description


def test_modules_that_are_there_are_named(asked):
    """Where one is sought that is not, and in the tool."""
    there = "\n".join(f"import {name}" for name in MODULES)
    asked.ask([explore(f"{there}\nprint('all')"), explore("import statistics"), final("Done.")])
    assert asked.shown(1) == "all\n"
    assert "No module named 'statistics'\nThere are: base64, bisect, collections, " in asked.shown(2)
    assert ", ".join(MODULES) in asked.smart.calls[0].tools[0].description


def test_a_question_about_a_short_part_needs_no_session(asked):
    """It is read in one call if it fits one, and the answer says so."""
    code = "print(rlm_query('What is odd?', context.part(0, 2000)))"
    asked.ask([explore(code), explore(code), final("Done.")], ["one"])
    assert asked.shown(1).startswith("one\n[rlm_query: 1 call read the whole part]\n")
    assert "[From the harness: 1 call to haiku-x, at most $" in asked.shown(1)
    assert asked.shown(2).startswith("one\n[rlm_query: 1 call read the whole part]\n")


def test_a_folder_is_told_with_its_files(asked):
    """They are parts by their paths; a hit says its file and the line there."""
    folder = asked.workspace / "logs"
    (folder / "old").mkdir(parents=True)
    (folder / "a.txt").write_text("alpha\n" * 100_000)
    (folder / "old" / "b.txt").write_text("beta\nodd\n")
    asked.contexts = {"logs": "logs/**/*.txt"}
    asked.ask(
        [
            explore(
                "print(sorted(context.files), context.files['old/b.txt'].text())\n"
                "print(context.search('odd')[0].place(), context.search('alpha', 1)[0].files)"
            ),
            final("Done."),
        ]
    )
    said = asked.smart.calls[0].messages[0].text
    assert re.search(r"- logs: 600,\d\d\d bytes in 2 files: a\.txt \(600,000\), old/b\.txt \(9\)\n", said), (
        said
    )
    assert asked.shown(1) == "['a.txt', 'old/b.txt'] beta\nodd\n\nold/b.txt:2 {}\n"
    assert str(asked.workspace) not in "".join(map(_sent, asked.smart.calls))


def _sent(request: Request) -> str:
    return "".join((*request.system, *(message.text for message in request.messages)))


def test_an_attribute_that_a_part_lacks_names_those_that_it_has(asked):
    """So a model need not guess twice."""
    asked.ask([explore("print(context.name)"), explore("print(context.find('a'))"), final("Done.")])
    assert "[From the harness: a part has .start, .end, .size, .files and .search(pattern, " in asked.shown(1)
    assert "a part has .start" in asked.shown(2)


def test_a_text_that_is_too_long_is_refused_with_the_limit_of_the_prompt(asked):
    """Both say the same number."""
    asked.text = "a" * 9_000_000
    asked.ask([explore("context.text()"), explore("texts([context])"), final("Done.")])
    (prompt,) = asked.smart.calls[0].system
    assert "at most 2,000,000 bytes at once" in prompt
    assert "at most 2,000,000 are given as text at once" in asked.shown(1)
    assert "at most 2,000,000 are given as text at once" in asked.shown(2)


def test_the_question_stands_behind_a_context_that_is_read_whole(asked):
    """So that another question begins with the same bytes."""
    asked.text = "The key is under the mat.\n"
    asked.ask(["Under the mat."])
    (request,) = asked.smart.calls
    assert request.messages[0].text.endswith(f"```\n\n{asked.question}")


def test_the_text_around_a_hit_stays_within_the_part_of_a_question(asked):
    """A session of its own reaches no text that it was not given."""
    asked.ask(
        [explore("print(rlm_query('Odd?', context.part(1000, 400000)))"), final("Done.")],
        [
            explore("hit = context.search('line', 1)[0]\nprint(context.start, hit.around(500).start)"),
            final("Nothing."),
        ],
    )
    (told,) = [part.content for part in asked.cheap.calls[1].messages[-1].parts]
    assert told == "1000 1000\n"


def test_a_list_that_is_not_there_is_told_like_any_other_mistake(asked):
    """A count of a text, or a slice of a number, fails in words."""
    asked.ask(
        [
            operations("explore", {"op": "split", "pattern": "zzz", "bind": "texts_of"}),
            operations("explore", {"op": "count", "input": "texts_of", "pattern": "a", "bind": "n"}),
            operations("explore", {"op": "slice", "start": 500_000, "end": 500_010, "bind": "far"}),
            final("Done."),
        ]
    )
    assert "[it failed]" in asked.shown(2)
    assert "part(500,000, 500,010) is no range of this part" in asked.shown(3)
