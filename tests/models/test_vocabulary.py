"""OpenAI's vocabularies come with the package: the right ones, and without a network."""

import asyncio
import hashlib
import inspect
import lzma
import subprocess
import sys
import time
from base64 import b64encode
from itertools import accumulate, pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sunwell
from sunwell.models.vocabulary import VOCABULARIES, count_text, is_loaded, load_in_thread

NAMES = pytest.mark.parametrize("name", sorted(VOCABULARIES))
FOLDER = Path(sunwell.__file__).parent / "models" / "vocabularies"


@NAMES
def test_the_stored_vocabulary_is_openais(name):
    """In OpenAI's format, the stored file has the digest that ``tiktoken`` demands of a download."""
    from tiktoken_ext import openai_public

    vocabulary = VOCABULARIES[name]
    data = lzma.decompress((FOLDER / f"{name}.xz").read_bytes())
    places = pairwise(accumulate(data[: vocabulary.tokens], initial=vocabulary.tokens))
    tokens = [data[start:end] for start, end in places]
    lines = b"".join(b64encode(token) + f" {number}\n".encode() for number, token in enumerate(tokens))
    assert hashlib.sha256(lines).hexdigest() == vocabulary.sha256
    assert vocabulary.sha256 in inspect.getsource(getattr(openai_public, name))


@NAMES
def test_the_pattern_is_openais(name):
    """Each part of the pattern that splits a text is the one in ``tiktoken``."""
    from tiktoken_ext import openai_public

    source = inspect.getsource(getattr(openai_public, name))
    pattern = VOCABULARIES[name].pattern
    written = [line.split('"""')[1] for line in source.splitlines() if 'r"""' in line]
    assert pattern == "|".join(written)


@pytest.mark.parametrize(
    ("text", "o200k", "cl100k"),
    [
        pytest.param("", 0, 0, id="nothing"),
        pytest.param("hello", 1, 1, id="a-word"),
        pytest.param("hello world", 2, 2, id="two-words"),
        pytest.param("antidisestablishmentarianism", 6, 6, id="a-long-word"),
        pytest.param("お誕生日おめでとう", 8, 9, id="japanese"),
        pytest.param("<|endoftext|>", 7, 7, id="a-special-token-is-text"),
    ],
)
def test_known_counts(text, o200k, cl100k):
    """Counts that OpenAI's documentation and its own tokenizer give."""
    assert (count_text(text), count_text(text, "cl100k_base")) == (o200k, cl100k)


@given(st.text())
def test_every_text_has_a_count(text):
    """Any text is counted, also one with half a surrogate pair, and has at most a token for each byte."""
    assert 0 <= count_text(text) <= len(text.encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize(
    ("text", "most"),
    [
        pytest.param("a" * 1_000_000, 1_000_000, id="letters"),
        pytest.param(" " * 1_000_000, 1_000_000, id="spaces"),
        pytest.param("\n" * 1_000_000, 1_000_000, id="lines"),
        pytest.param("=" * 1_000_000, 1_000_000, id="signs"),
        pytest.param("word" + " " * 300_000 + "word" + "\t" * 300_000, 600_002, id="gaps"),
        pytest.param("x" + " " * 9_999 + "y", 200, id="a-gap-that-is-still-counted"),
    ],
)
def test_long_runs_are_counted_in_time(text, most):
    """A megabyte of one character takes no longer than other text, and raises nothing."""
    began = time.process_time()
    assert 0 < count_text(text) <= most
    assert time.process_time() - began < 5


async def test_loading_leaves_the_loop_free():
    """While a vocabulary is loaded in a thread, other tasks run; then counting begins at once."""
    ran, task = 0, asyncio.ensure_future(load_in_thread("cl100k_base"))
    while not task.done():
        ran += 1
        await asyncio.sleep(0)
    assert ran > 0
    assert is_loaded("cl100k_base")


OFFLINE = """
import os, socket, sys
def refused(*_, **__):
    raise AssertionError("a socket was opened")
sys.addaudithook(lambda event, _: refused() if event.startswith("socket.") else None)
from sunwell.models.openai_framing import body_tokens
body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}
print(body_tokens("chat", body), sorted(os.listdir(os.environ["HOME"])))
"""


def test_no_network_no_cache_no_home(tmp_path):
    """Without network, with a home that cannot be written and no cache folder, requests are counted."""
    home = tmp_path / "home"
    home.mkdir(mode=0o500)
    temporary = tmp_path / "tmp"
    temporary.mkdir(mode=0o500)
    env = {"HOME": str(home), "TMPDIR": str(temporary), "PYTHONDONTWRITEBYTECODE": "1"}
    env["PYTHONPATH"] = str(Path(sunwell.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE], env=env, cwd="/", capture_output=True, text=True, check=False
    )
    assert (done.stdout, list(temporary.iterdir())) == ("8 []\n", []), done.stderr
