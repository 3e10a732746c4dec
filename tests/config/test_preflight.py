"""What is known to be wrong before money is spent."""

import pytest

from sunwell.config.preflight import findings, require_sound
from sunwell.config.resolution import resolve
from sunwell.errors import ConfigurationError

KEYS = {"ANTHROPIC_API_KEY": "key-of-anthropic", "XAI_API_KEY": "key-of-xai"}


BUDGETED = '[model]\nmodel = "anthropic/claude-haiku-4-5"\n'


def found(project, text, environ=KEYS):
    project.write(text)
    return findings(resolve(project.load(trust=True).values, environ))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        pytest.param('model = "nobody"\n', "unknown model 'nobody'", id="unknown-model"),
        pytest.param('model = "lab/x"\n', "LAB_BASE_URL", id="unknown-provider"),
        pytest.param('delegation_model = "groq/x"\n', "GROQ_API_KEY", id="missing-key"),
        pytest.param('model = "xai/brand-new"\n[budget]\nusd = 1\n', "has no known price", id="no-price"),
        pytest.param(
            '[models.tiny]\nmodel = "haiku"\ncontext_window = 3000\n[delegation_model]\nmodel = "tiny"\n',
            "cannot hold a lens",
            id="small-window",
        ),
    ],
)
def test_an_error_stops_the_run(project, text, sentence):
    """One clear sentence, and nothing is sent."""
    (finding,) = found(project, text)
    assert (finding.is_error, sentence in finding.sentence) == (True, True)
    with pytest.raises(ConfigurationError):
        require_sound(resolve(project.load(trust=True).values, KEYS))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        pytest.param(
            'smart_model = "haiku"\ndelegation_model = "opus"\n', "is dearer than", id="dear-worker"
        ),
        pytest.param(
            '[model]\nmodel = "xai/grok-3"\nthinking_tokens = 2000\n', "set effort instead", id="thinking"
        ),
        pytest.param(
            f"max_output_tokens = 2_000\n{BUDGETED}thinking_tokens = 1_500\n",
            "does not think: raise max_output_tokens",
            id="no-room-to-think",
        ),
        pytest.param(
            '[model]\nmodel = "opus"\nthinking_tokens = 4_000\n',
            "thinks as much as it needs within the longest answer, 12,192 tokens",
            id="thinking-without-a-budget",
        ),
        pytest.param('delegation_model = "groq/x"\nfallback = "parent"\n', "GROQ_API_KEY", id="fallback"),
    ],
)
def test_a_warning_does_not(project, text, sentence):
    """It is told, and the run begins."""
    (finding,) = found(project, text)
    assert (finding.is_error, sentence in finding.sentence) == (False, True)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('smart_model = "opus"\ndelegation_model = "haiku"\n[budget]\nusd = 1\n', id="usual"),
        pytest.param('model = "xai/brand-new"\n[budget]\ntokens = 100\n', id="tokens-need-no-price"),
        pytest.param(
            'model = "xai/new"\n[budget]\nusd = 1\n[models."xai/new"]\ninput_usd_per_million = 1\n'
            "output_usd_per_million = 2\n",
            id="own-price",
        ),
    ],
)
def test_what_is_sound_gives_nothing(project, text):
    """No false alarm."""
    assert found(project, text) == ()
