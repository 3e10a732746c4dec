"""``sunwell init``: a configuration to start from, every line of it explained."""

import os
from pathlib import Path

import click

START = """\
# Settings of Sunwell for this project. What is commented out shows the default or an example.
# Order: command line, SUNWELL_* variables, this file, the user's own file, defaults.
# sunwell config show prints what holds and where it comes from.
# After each change: sunwell config trust. Without it, only settings that narrow your own hold.

# Who thinks, and who does the work. Names: opus, sonnet, haiku, openai-smart, openai-cheap,
# provider/model, or a name of your own below.
smart_model = "opus"
delegation_model = "haiku"
# model = "opus"                     # works where nothing is delegated

# delegate = true                    # not set: on where a delegation model is named
# delegation_threshold_tokens = 2000 # largest expected output that is not worth a lens
# effort = "high"                    # low, medium, high, xhigh, max
# on_lens_failure = "direct"         # or "generic", "fail"
# fallback = "fail"                  # or "parent", where the delegation model cannot be used
# allow_shell = false
# sandbox = "required"               # for commands; "off": with all that your account can do
# allow_python = false

[budget]
# usd = 0.50
# tokens = 200_000
# seconds = "30m"

[workers]
# max_concurrent = 4
# max_depth = 1
# timeout_seconds = "5m"

# A server of your own.
# [providers.lab]
# kind = "openai"                    # or "anthropic"
# base_url = "http://127.0.0.1:8000/v1"
# api_key_env = "LAB_API_KEY"        # the variable that holds the key; leave it out where none is needed
# requests_per_minute = 600

# A name of your own for a model, with its prices in US dollars per million tokens.
# [models.fast]
# model = "lab/llama-5"
# context_window = 64_000
# input_usd_per_million = 0.10
# output_usd_per_million = 0.40
"""


@click.command()
@click.option("-w", "--workspace", default=".", show_default=True, metavar="DIR", help="The project.")
@click.option("--force", is_flag=True, help="Write over a file that is there.")
def init(workspace: str, force: bool) -> None:
    """Write a commented sunwell.toml to start from, and trust it as it is written."""
    from sunwell.cli.finding import require_folder
    from sunwell.config.trust import TrustRecord
    from sunwell.errors import ConfigurationError

    file = require_folder(Path(workspace)) / "sunwell.toml"
    if os.path.lexists(file) and not force:
        raise ConfigurationError(f"{file} is there already: --force writes over it")
    data = START.encode()
    try:
        if force:
            file.unlink(missing_ok=True)  # a link is replaced, not followed
        with file.open("xb") as opened:
            opened.write(data)
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be written: {error.strerror}") from None
    click.echo(f"written  {file}")
    try:
        TrustRecord.of_user().add(file, data)
        click.echo("trusted  as it is now; after each change: sunwell config trust")
    except ConfigurationError as error:
        click.echo(f"sunwell: the file is not trusted yet: {error}", err=True)
    click.echo("next     set ANTHROPIC_API_KEY, or name other models in the file; then: sunwell config check")
