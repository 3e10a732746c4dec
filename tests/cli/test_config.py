"""``sunwell config`` and ``sunwell init``: what holds, where it comes from, whose files are trusted."""

import json
import os
import tomllib
from pathlib import Path

import pytest

THEIRS = '[providers.lab]\nbase_url = "https://lab.example/v1?sig=hidden-sig"\n'
LOGIN = '[providers.lab]\nbase_url = "https://user:hidden-pass@lab.example/v1"\n'
HEADERS = '[providers.lab.headers]\nX-Api-Key = "hidden-header"\n'


@pytest.fixture
def env(tmp_path: Path, keys: dict[str, str]) -> dict[str, str]:
    """Return the environment of a user whose settings are their own."""
    return {**keys, "SUNWELL_HOME": str(tmp_path / "user")}


def test_each_value_is_shown_with_its_origin(sunwell, env, tmp_path: Path) -> None:
    """File and line, variable, default."""
    (tmp_path / "sunwell.toml").write_text('effort = "low"\n\n[budget]\nusd = 0.50\n')
    done = sunwell("config", "show", "-w", tmp_path, env={**env, "SUNWELL_MODEL": "opus"})
    assert done.exit_code == 0
    assert f"# {tmp_path}/sunwell.toml:4" in next(line for line in done.stdout.splitlines() if "usd" in line)
    assert 'model.model = "opus"' in done.stdout
    assert "# environment SUNWELL_MODEL" in done.stdout
    everything = sunwell("config", "show", "-w", tmp_path, "--all", env=env).stdout
    assert "workers.max_concurrent = 4" in everything


def test_a_switch_that_is_off_shows_that_nothing_is_set(sunwell, env, tmp_path: Path) -> None:
    """``sub_calls.enabled = false`` takes the delegation tools away; a file has no word for that."""
    (tmp_path / "sunwell.toml").write_text("[sub_calls]\nenabled = false\n")
    done = sunwell("config", "show", "-w", tmp_path, env=env)
    assert done.stdout.startswith(f"delegation_tools = not set  # {tmp_path}/sunwell.toml:2"), done.output


def test_secrets_are_masked(sunwell, env, tmp_path: Path) -> None:
    """Headers, keys and logins in addresses never get onto the screen, and no key's value does."""
    (tmp_path / "sunwell.toml").write_text(LOGIN)
    refused = sunwell("config", "show", "-w", tmp_path, env=env)
    assert "a login, which is not shown" in refused.output
    assert "hidden" not in refused.output
    (tmp_path / "sunwell.toml").write_text(THEIRS + HEADERS + '[context.snipara]\napi_key = "hidden-key"\n')
    for form in ((), ("--json",)):
        done = sunwell("config", "show", "-w", tmp_path, *form, env=env)
        assert "lab.example" in done.output
        assert "hidden" not in done.output
        assert env["ANTHROPIC_API_KEY"] not in done.output


def test_a_cloned_repository_gets_nothing_until_it_is_trusted(
    sunwell, trust, env, tmp_path: Path, simulator
) -> None:
    """The run is refused before anything is sent; after ``config trust`` it holds until the file changes."""
    file = tmp_path / "sunwell.toml"
    file.write_text(
        f'[providers.anthropic]\nbase_url = "{simulator.url}"\napi_key_env = "ANTHROPIC_API_KEY"\n'
    )
    arguments = ("run", "Say hello", "-w", tmp_path, "--model", "haiku", "--json")
    refused = sunwell(*arguments, env=env)
    assert refused.exit_code == 2
    assert "sunwell config trust" in json.loads(refused.stdout)["error"]
    assert simulator.requests == ()
    assert "not trusted" in sunwell("config", "show", "-w", tmp_path, env=env).stdout
    assert sunwell("config", "check", "-w", tmp_path, env=env).exit_code == 2
    assert sunwell(*arguments, "--trust-config", env=env).exit_code == 0
    told = trust("-w", tmp_path, env=env)
    assert told.exit_code == 0
    assert f'sends everything for the provider anthropic to "{simulator.url}"' in told.stdout
    assert 'sends the key in the variable "ANTHROPIC_API_KEY" to the provider anthropic' in told.stdout
    assert sunwell(*arguments, env=env).exit_code == 0
    file.write_text(file.read_text() + "\nallow_shell = false\n")
    assert sunwell(*arguments, env=env).exit_code == 2


def test_check_names_what_is_wrong(sunwell, env, tmp_path: Path) -> None:
    """A key that is missing, a provider that nobody knows, a budget without prices."""
    file = tmp_path / "sunwell.toml"
    file.write_text('smart_model = "opus"\ndelegation_model = "haiku"\n')
    env = {**env, "SUNWELL_TRUST_CONFIG": "true"}
    done = sunwell("config", "check", "-w", tmp_path, env=env)
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (0, "all settings are valid")
    file.write_text('model = "xai/grok-3"\n')
    done = sunwell("config", "check", "-w", tmp_path, env=env)
    assert done.exit_code == 2
    assert "XAI_API_KEY" in done.stdout


def test_a_model_that_the_server_does_not_have_is_named(sunwell, env, tmp_path: Path, simulator) -> None:
    """With --online; nothing is billed for it."""
    (tmp_path / "sunwell.toml").write_text('model = "anthropic/claude-haku-5-5"\n')
    env = {**env, "SUNWELL_TRUST_CONFIG": "true"}
    done = sunwell("config", "check", "--online", "-w", tmp_path, env=env)
    assert "did you mean claude-haiku-5-5?" in done.stdout
    assert simulator.requests == ()


def test_init_writes_a_start_that_holds(sunwell, env, tmp_path: Path) -> None:
    """The file is understood as it is, and is not written over by accident."""
    assert sunwell("init", "-w", tmp_path, env=env).exit_code == 0
    assert sunwell("config", "check", "-w", tmp_path, env=env).exit_code == 0
    again = sunwell("init", "-w", tmp_path, env=env)
    assert again.exit_code == 2
    assert "--force" in again.stderr
    assert sunwell("init", "-w", tmp_path, "--force", env=env).exit_code == 0


@pytest.mark.parametrize(
    ("key", "models"),
    [("ANTHROPIC_API_KEY", ("opus", "haiku")), ("OPENAI_API_KEY", ("openai-smart", "openai-cheap"))],
)
def test_init_names_the_models_whose_key_is_there(sunwell, tmp_path: Path, key, models) -> None:
    """As a run does that names no model; so what it wrote can be used at once."""
    names = ("ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "OPENAI_API_KEY", "OPENAI_BASE_URL")
    env = dict.fromkeys(names, "") | {key: "a-key"}
    said = sunwell("init", "-w", tmp_path, env=env).stdout
    assert "set ANTHROPIC_API_KEY" not in said
    written = tomllib.loads((tmp_path / "sunwell.toml").read_text())
    assert (written["smart_model"], written["delegation_model"]) == models
    assert sunwell("config", "check", "-w", tmp_path, env=env).exit_code == 0


def test_what_init_has_just_written_is_trusted(sunwell, env, tmp_path: Path, simulator) -> None:
    """Its user wrote it, so its models hold at once; a change by anybody ends that."""
    assert "trusted" in sunwell("init", "-w", tmp_path, env=env).stdout
    done = sunwell("run", "Say hello", "-w", tmp_path, "--json", env=env)
    assert done.exit_code == 0, done.output
    file = tmp_path / "sunwell.toml"
    file.write_text(file.read_text().replace('"haiku"', '"opus"'))
    refused = sunwell("run", "Say hello", "-w", tmp_path, env=env)
    assert (refused.exit_code, "sunwell config trust" in refused.stderr) == (2, True)


def test_init_follows_no_link(sunwell, env, tmp_path: Path) -> None:
    """A link that lies in a cloned repository leads nowhere else, also with --force."""
    folder, other = tmp_path / "repository", tmp_path / "other"
    folder.mkdir()
    (folder / "sunwell.toml").symlink_to(other)
    assert sunwell("init", "-w", folder, env=env).exit_code == 2
    assert sunwell("init", "-w", folder, "--force", env=env).exit_code == 0
    assert not other.exists()
    assert not (folder / "sunwell.toml").is_symlink()


def test_init_without_a_place_for_the_record_says_so(sunwell, env, tmp_path: Path) -> None:
    """The file is written all the same."""
    (tmp_path / "user").write_text("a file")
    done = sunwell("init", "-w", tmp_path, env=env)
    assert done.exit_code == 0
    assert "is not trusted yet" in done.stderr
    assert (tmp_path / "sunwell.toml").exists()


@pytest.mark.parametrize(
    ("command", "lines"),
    [(("config", "show"), "have their defaults"), (("config", "check"), "all settings are valid")],
    ids=["show", "check"],
)
def test_a_file_of_another_user_is_left_out_and_named(sunwell, env, tmp_path: Path, command, lines) -> None:
    """One warning says so and how to use it; what it holds is not even parsed."""
    require_root()
    file = tmp_path / "sunwell.toml"
    file.write_text("this is no TOML")
    os.chown(file, 12345, -1)
    done = sunwell(*command, "-w", tmp_path, env=env)
    assert (done.exit_code, lines in done.stdout) == (0, True)
    assert f"{file} is not used: it belongs to the user 12345; to use it, read it and name it" in done.output
    refused = sunwell("config", "trust", "-w", tmp_path, env=env)
    assert (refused.exit_code, "belongs to the user 12345" in refused.stderr) == (2, True)


def test_a_file_of_another_user_that_is_named_and_trusted_holds(sunwell, trust, env, tmp_path: Path) -> None:
    """Who names it has read it; trust is needed all the same."""
    require_root()
    file = tmp_path / "sunwell.toml"
    file.write_text('model = "haiku"\n')
    os.chown(file, 12345, -1)
    command = ("config", "check", "-w", tmp_path, "--config", file)
    assert sunwell(*command, env=env).exit_code == 2
    assert trust(file, env=env).exit_code == 0
    assert sunwell(*command, env=env).exit_code == 0


def require_root() -> None:
    """Skip where a file cannot be given to another user."""
    if os.geteuid() != 0:
        pytest.skip("only root can give a file to another user")


def test_every_line_of_the_start_is_true(sunwell, env, tmp_path: Path) -> None:
    """What is commented out is understood, too, once it is not."""
    sunwell("init", "-w", tmp_path, env=env)
    file = tmp_path / "sunwell.toml"
    lines = file.read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("# model ="))
    code = [
        line.removeprefix("# ") for line in lines[start:] if "=" in line or line.strip("# ").startswith("[")
    ]
    file.write_text("\n".join(lines[:start] + code))
    done = sunwell("config", "show", "-w", tmp_path, env=env)
    assert done.exit_code == 0, done.output
    assert 'models.fast.model = "lab/llama-5"' in done.stdout


@pytest.mark.parametrize(
    ("file", "option", "shell"),
    [
        pytest.param("true", (), True, id="file"),
        pytest.param("true", ("--no-allow-shell",), False, id="typed-off"),
        pytest.param("false", ("--allow-shell",), True, id="typed-on"),
        pytest.param("false", (), False, id="file-off"),
    ],
)
def test_what_is_typed_goes_before_the_file(
    sunwell, env, tmp_path: Path, simulator, file, option, shell
) -> None:
    """Switches, too, both ways; an option's default is not typed."""
    (tmp_path / "sunwell.toml").write_text(f'allow_shell = {file}\nmodel = "haiku"\n')
    done = sunwell(
        "run",
        "Say hello",
        "-w",
        tmp_path,
        "--trust-config",
        "--json",
        *option,
        env=env | {"SUNWELL_SANDBOX": "off"},
    )
    assert done.exit_code == 0, done.output
    offered = {tool["name"] for tool in simulator.requests[-1].body["tools"]}
    assert ("run_command" in offered or "shell" in offered) is shell


COMMANDS = [
    ("run", "Say hello"),
    ("run", "-q", "Say hello"),
    ("run", "Say hello", "--dry-run"),
    ("run", "Say hello", "--orchestrate"),
    ("batch", "tasks.jsonl"),
    ("lens", "Say hello"),
    ("estimate", "Say hello"),
    ("doctor",),
    ("config", "check", "--online"),
    ("resume", "RUN"),
    ("fork", "RUN", "--at", "run"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_command_goes_round_the_trust(sunwell, env, tmp_path: Path, simulator, command) -> None:
    """Whatever is asked for in a cloned repository, its server hears nothing, not even a connection."""
    (tmp_path / "tasks.jsonl").write_text('"Say hello"\n')
    folder = tmp_path / "repository"
    folder.mkdir()
    arguments = [str(tmp_path / "tasks.jsonl") if word == "tasks.jsonl" else word for word in command]
    if "RUN" in arguments:
        done = sunwell("run", "Say hello", "-w", folder, "-m", "haiku", "--json", env=env)
        arguments[1] = json.loads(done.stdout)["run_id"]
    before = len(simulator.requests), simulator.connections
    (folder / "sunwell.toml").write_text(
        f'model = "haiku"\n[providers.anthropic]\nbase_url = "{simulator.url}"\n'
        'api_key_env = "ANTHROPIC_API_KEY"\n'
    )
    refused = sunwell(*arguments, "-w", folder, env=env)
    assert refused.exit_code == 2, refused.output
    assert "sunwell config trust" in refused.output
    assert (len(simulator.requests), simulator.connections) == before


def test_what_a_file_would_have_trusted_is_shown_exactly(sunwell, env, tmp_path: Path) -> None:
    """A terminal acts on nothing in it: neither on sequences nor on marks of direction."""
    (tmp_path / "sunwell.toml").write_text('plugins = ["good\\u001b[8m\\u202eevil"]\n')
    done = sunwell("config", "trust", "-w", tmp_path, env=env)
    assert r"good\x1b[8m\u202eevil" in done.stdout
    assert "\x1b" not in done.stdout
