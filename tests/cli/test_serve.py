"""``sunwell serve`` on the command line: what it refuses before anything is served."""

import sys
from pathlib import Path

import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("starlette")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("-w", "nowhere"), "nowhere"),
        (("--max-cost", "0"), "--max-cost and --max-usd must be more than 0 dollars"),
        (("--max-usd", "0"), "--max-cost and --max-usd must be more than 0 dollars"),
        (("--token", "short"), "--token is no token: it must have 16 or more printable characters"),
        (("--token", "a token with spaces"), "--token is no token"),
        (("--budget-usd", "3"), "No such option '--budget-usd'"),
        (("--offer", "opus+"), "--offer 'opus+' names no model"),
        (("--offer", "a+b+c"), "--offer 'a+b+c' names no model"),
        (("--offer", "hiaku"), "haiku"),
        (("--check", " "), "check"),
    ],
)
def test_what_could_not_hold_is_refused(sunwell, tmp_path: Path, keys, options, sentence: str) -> None:
    """With the command's own exit code for bad input."""
    where = () if options[0] == "-w" else ("-w", tmp_path)
    done = sunwell("serve", *where, *options, env=keys)
    assert done.exit_code == 2, done.output
    assert sentence in " ".join(done.output.split())
    assert not done.stdout


def test_a_token_that_is_none_is_refused(sunwell, tmp_path: Path, keys) -> None:
    """It would protect nothing."""
    done = sunwell("serve", "-w", tmp_path, env={**keys, "SUNWELL_SERVE_TOKEN": "short"})
    assert done.exit_code == 2
    assert "SUNWELL_SERVE_TOKEN is no token" in done.output


def test_without_the_packages_it_says_what_to_install(sunwell, tmp_path: Path, keys, monkeypatch) -> None:
    """The extra is loaded on first use."""
    for name in [name for name in sys.modules if name.startswith(("sunwell.serve.endpoint.endpoint_app",))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "starlette.applications", None)
    done = sunwell("serve", "-w", tmp_path, env=keys)
    assert done.exit_code == 2
    assert "pip install 'sunwell[serve]'" in " ".join(done.output.split())
