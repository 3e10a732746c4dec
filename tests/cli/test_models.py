"""``sunwell models``: names, prices, keys."""

import json


def test_each_alias_has_its_model_price_and_key(sunwell) -> None:
    """A key that is there is told apart from one that is not; its value is never shown."""
    done = sunwell("models", "--json", env={"ANTHROPIC_API_KEY": "simulated-key"})
    rows = {row["alias"]: row for row in json.loads(done.stdout)["models"]}
    assert rows["opus"]["model"] == "claude-opus-5-5"
    assert (rows["opus"]["input_usd_per_million"], rows["opus"]["output_usd_per_million"]) == ("4", "20")
    assert (rows["opus"]["has_key"], rows["openai-smart"]["has_key"]) == (True, False)
    assert "simulated-key" not in done.output


def test_people_see_a_table_with_the_price_date(sunwell) -> None:
    """One line for each alias, prices with their date."""
    done = sunwell("models", env={})
    assert done.exit_code == 0
    assert "ANTHROPIC_API_KEY is not set" in done.stdout
    assert "$0.10" in done.stdout
    assert "as of 20" in done.stdout
