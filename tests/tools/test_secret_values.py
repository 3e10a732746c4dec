"""Secrets in the values of variables are found in every form, and ordinary values are left alone."""

import random
import string
import time

import pytest

from sunwell.tools import secrets_from_environment

LETTERS = string.ascii_letters + string.digits


def made(seed: int, size: int = 18) -> str:
    """Return a value as a generator of passwords makes it."""
    chosen = random.Random(seed)
    return "".join(chosen.choice(LETTERS) for _ in range(size))


def variables(lines: str) -> dict[str, str]:
    """Return the environment that is written as lines of name and value."""
    return dict(line.split("=", 1) for line in lines.strip().split("\n"))


S, T = made(1), made(2)
HIDDEN = [
    ("AMQP_URLS", f"amqp://u:aaaaaaaa1@h1,amqp://u:{S}@h2", S),
    ("AMQP_URLS", f"amqp://u:aaaaaaaa1@h1 amqp://u:{S}@h2", S),
    ("AMQP_URLS", f"amqp://u:aaaaaaaa1@h1;amqp://u:{S}@h2", S),
    ("AMQP_URLS", f"amqp://u:aaaaaaaa1@h1\namqp://u:{S}@h2", S),
    ("AMQP_URLS", f"amqp://u:aaaaaaaa1@h1,u:{S}@h2/vhost", S),
    ("TOOL_OPTIONS", f"--url=http://u:{S}@h/ --x", S),
    ("TOOL_OPTIONS", f"--url='http://u:{S}@h/' --x", S),
    *(("APP_DB", f"postgres://u:{T[:9]}{sign}{S}@h/db", f"{T[:9]}{sign}{S}") for sign in "/#?@:%[]&=+;, '\""),
    ("APP_DB", f"postgres://u:{T[:9]}[x]{S}@h/db?a=b@c", f"{T[:9]}[x]{S}"),
    ("APP_DB", f"HTTP://U:{S}@h", S),
    ("APP_DB", f"redis://:{S}@h", S),
    ("APP_DB", f"redis://{S}@h", S),
    ("APP_DB", f"http://u:{S}@[::1]:80/", S),
    ("APP_DB", f"mysql+pymysql://u:{S}@h/db?charset=utf8", S),
    ("APP_DB", f"postgres:///db?user=u&password={S}&host=h", S),
    ("APP_DB", f"jdbc:mysql://h/db?user=u&password={S}", S),
    ("APP_DB", f"jdbc:sqlserver://h;user=u;password={S};", S),
    ("APP_DB", f"jdbc:oracle:thin:u/{S}@//h:1521/s", S),
    ("APP_DB", f"https://{S}:x-oauth-basic@github.com/a/b", S),
    ("APP_DB", f"Driver={{ODBC Driver 18}};Server=h;Uid=u;Pwd={{{S}}};", S),
    ("APP_DB", f"host=h user=u password='{S}' dbname=x", S),
    ("APP_DB", f"Server=db;User Id=sa;Password={S};", S),
    ("Y_CONNECTION_STRING", f"Endpoint=sb://x/;SharedAccessKeyName=R;SharedAccessKey={S}=", f"{S}="),
    ("X_CONNECTION_STRING", f"DefaultEndpointsProtocol=https;AccountName=a;AccountKey={S}==", f"{S}=="),
    ("PG_DSN", f"host=h user=u password='{S}' dbname=x", S),
    ("PG_DSN", f"host=h user=u password={S} dbname=x", S),
    ("CURL_AUTH", f"Bearer {S}", S),
    ("CURL_AUTH", f"Authorization: Bearer {S}", S),
    ("HTTP_AUTHORIZATION", f"Basic {S}==", f"{S}=="),
    ("BASIC_AUTH", f"user:{S}", S),
    ("PAIR_TOKEN", f"id:{S}", S),
    ("QUOTED_KEY", f'"{S}"', S),
    ("QUOTED_KEY", f"'{S}'", S),
    ("TWO_KEY", f"{T},{S}", S),
    ("TWO_KEY", f"{T},{S}", T),
    ("CURL_HEADER", f"Authorization: Bearer {S}", S),
    ("GIT_CONFIG_VALUE_0", f"AUTHORIZATION: basic {S}=", S),
    ("JAVA_OPTIONS", f"-Xmx1g -Djavax.net.ssl.keyStorePassword={S}", S),
    ("ANSIBLE_ARGS", f"--vault-password {S} -v", S),
    ("SERVICE_ACCOUNT", f'{{"type":"x","private_key":"{S}"}}', S),
    ("STORAGE", f"AccountName=a;AccountKey={S}==;EndpointSuffix=x", S),
    ("CRLF_KEY", f"{S}\r\n", S),
    ("JSON_SECRET", f'{{"a":"x","inner":{{"client_secret":"{S}"}}}}', S),
    *(
        (name, S, S)
        for name in ("OPENAI_API_KEY_OLD", "TOKEN_PROD", "SECRET_PROD", "AUTHORIZATION", "PASSCODE")
    ),
    *(
        (name, S, S)
        for name in ("BEARER", "ACCOUNT_KEY_B64", "DBPW", "PASSWORD_NEXT", "githubTokenForCi", "AUTH_2ND")
    ),
]


@pytest.mark.parametrize(("name", "value", "secret"), HIDDEN, ids=range(len(HIDDEN)))
def test_a_secret_is_found_in_every_form_of_a_value(name: str, value: str, secret: str) -> None:
    """Alone in a text, in the whole value, and in capitals only if they are its own."""
    secrets = secrets_from_environment({name: value})
    assert secrets.redact(f"<<{secret}>>") == f"<<[{name}]>>"
    assert secret not in secrets.redact(f"export {name}={value}")


CI = variables(
    r"""
CI=true
GITHUB_ACTIONS=true
GITHUB_REF_PROTECTED=true
GITLAB_CI=true
FF_USE_FASTZIP=true
GITHUB_SHA=ffac537e6cbbf934b08745a378932722df287a53
GITHUB_RUN_ID=16588473645123
GITHUB_REPOSITORY=octo-org/octo-repo
GITHUB_REF=refs/heads/feature-branch-1
GITHUB_WORKFLOW_REF=octo-org/octo-repo/.github/workflows/ci.yml@refs/heads/main
GITHUB_SERVER_URL=https://github.com
GITHUB_API_URL=https://api.github.com
GITHUB_GRAPHQL_URL=https://api.github.com/graphql
GITHUB_ACTOR=octocat-developer
GITHUB_EVENT_PATH=/home/runner/work/_temp/_github_workflow/event.json
RUNNER_NAME=GitHub Actions 1000000417
RUNNER_TRACKING_ID=github_0a1b2c3d-0123-4567
ACTIONS_ID_TOKEN_REQUEST_URL=https://pipelines.actions.githubusercontent.com/abc/1?api-version=2.0
ACTIONS_CACHE_URL=https://acghubeus1.actions.githubusercontent.com/abcdefgh/
AGENT_TOOLSDIRECTORY=/opt/hostedtoolcache
ImageOS=ubuntu24
ImageVersion=20261120.1.0
CI_COMMIT_AUTHOR=Ada Lovelace <ada@example.com>
CI_COMMIT_SHA=1ecfd275763eff1d6b4844ea3168962458c9f27a
CI_REPOSITORY_URL=https://gitlab.example.com/group/project.git
CI_PIPELINE_ID=1000
CI_JOB_TOKEN_SCOPE=project-and-group
CI_REGISTRY_USER=gitlab-ci-token
CI_SERVER_HOST=gitlab.com
CI_SERVER_TLS_CA_FILE=/builds/group/project.tmp/CI_SERVER_TLS_CA_FILE
CI_REGISTRY=registry.gitlab.com
CI_PIPELINE_URL=https://gitlab.com/group/project/pipelines/1000
JAVA_HOME_17_X64=/usr/lib/jvm/temurin-17
PIP_INDEX_URL=https://pypi.org/simple
npm_config_registry=https://registry.npmjs.org/
KUBERNETES_SERVICE_HOST=10.96.0.1
KUBERNETES_PORT=tcp://10.96.0.1:443
KUBECONFIG=/root/.kube/config
AWS_WEB_IDENTITY_TOKEN_FILE=/var/run/secrets/eks.amazonaws.com/serviceaccount/token
AWS_REGION=eu-central-1
AWS_ROLE_ARN=arn:aws:iam::123456789012:role/ci-deploy
GOOGLE_CLOUD_PROJECT=my-project-123456
VAULT_TOKEN_PATH=/vault/secrets/token-file
VAULT_AUTH_METHOD=kubernetes-jwt-2024
AUTH_ENABLED=disabled1
TOKEN_CACHE_BACKEND=django.core.cache.backends.redis.RedisCache
TOKEN_TTL=86400000
POSTGRES_PASSWORD=postgres
MYSQL_ROOT_PASSWORD=password1
POSTGRES_HOST_AUTH_METHOD=scram-sha-256
DATABASE_URL=postgres://postgres:postgres@localhost:5432/postgres
REDIS_URL=redis://localhost:6379/0
DJANGO_SECRET_KEY=changeme
SECRET_BACKEND=vault-kv2-engine
AUTH_SERVICE_URL=http://auth:8080/v1
PASSWORD_FILE=/run/secrets/db_password
DB_PASSWORD_FILE=/run/secrets/db_password
KEY_NAME=ci-2024-key1
DB_AUTH=db.internal.example.com
API_KEY=/etc/ssl/private/api-key.pem
AUTH=true
TOKEN=12345678
MAX_TOKENS=128000
MAX_TOKENS_PER_CALL=gpt4o-128k
OPENAI_TOKEN_LIMIT=tier5-200000k
PRIMARY_KEY=user_id_v2x
"""
)
DEVELOPER = variables(
    r"""
HOME=/home/ada
USER=ada
SHELL=/usr/bin/zsh
LANG=en_US.UTF-8
PWD=/home/ada/src/shop-1f2e
OLDPWD=/home/ada/src
TERM=xterm-256color
COLORTERM=truecolor
EDITOR=nvim
PAGER=less
LS_COLORS=rs=0:di=01;34:ln=01;36:mh=00:pi=40;33:so=01;35:*.tar=01;31:*.zip=01;31
LESS=-R --mouse
SSH_AUTH_SOCK=/run/user/1000/keyring/ssh
GPG_AGENT_INFO=/run/user/1000/gnupg/S.gpg-agent:0:1
SSH_CONNECTION=192.0.2.10 50500 192.0.2.20 22
SSH_TTY=/dev/pts/3
XAUTHORITY=/run/user/1000/.mutter-Xwaylandauth.AB12CD
DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/1000/bus
XDG_SESSION_ID=c2
DISPLAY=:0
GNOME_KEYRING_CONTROL=/run/user/1000/keyring
SESSION_MANAGER=local/ada:@/tmp/.ICE-unix/2345
PASSWORD_STORE_DIR=/home/ada/.password-store2
KEYTIMEOUT=1
TOKENIZERS_PARALLELISM=false
NVM_DIR=/home/ada/.nvm
PYENV_ROOT=/home/ada/.pyenv
GOPATH=/home/ada/go
VIRTUAL_ENV=/home/ada/src/shop/.venv
GIT_AUTHOR_NAME=Ada Lovelace
GIT_AUTHOR_EMAIL=ada@example.com
HTTP_PROXY=http://proxy.example.com:3128
NO_PROXY=localhost,127.0.0.1,.example.com
AWS_PROFILE=dev-admin-2024
AWS_SDK_LOAD_CONFIG=1
PATH=/home/ada/.local/bin:/usr/local/bin:/usr/bin:/bin
PS1=\u@\h:\w>
HISTSIZE=100000
DOCKER_HOST=unix:///run/user/1000/docker.sock
WSLENV=WT_SESSION:WT_PROFILE_ID
WT_SESSION=0a1b2c3d-0123-4567-89ab-0123456789ab
VSCODE_GIT_ASKPASS_MAIN=/usr/share/code/resources/app/extensions/git/dist/askpass-main.js
VSCODE_GIT_ASKPASS_NODE=/usr/share/code/code
GIT_ASKPASS=/usr/share/code/git-askpass.sh
SUDO_ASKPASS=/usr/lib/ssh/x11-ssh-askpass
ICON_URL=http://host:8080/assets/v1.2.3/image-abcdef@2x.png
DOCS_URL=https://example.com/@ada/Page1?x=y@z
ANTHROPIC_MODEL=claude-haiku-5-5-20261001
OPENAI_BASE_URL=https://api.openai.com/v1
LESSKEY=/home/ada/.config/lesskey
MAIL=/var/mail/ada
EMAIL=ada@example.com
GREETING=password: see the wiki
ADVICE=use basic authentication2 with --token none and bearer tokens
NODE_OPTIONS=--max-old-space-size=4096 --no-token-cache
NOTE=token=none, secret=unset
"""
)


@pytest.mark.parametrize("environ", [CI, DEVELOPER], ids=["ci", "developer"])
def test_nothing_of_an_ordinary_machine_is_taken_for_a_secret(environ: dict[str, str]) -> None:
    """Neither a whole value nor a word of it: a file that a model edits would be damaged."""
    hit = {
        name: word
        for name, value in environ.items()
        for word in (value, *value.split())
        if secrets_from_environment({name: value}).redact(word) != word
    }
    assert hit == {}


def test_many_values_are_looked_through_at_once() -> None:
    """The parts of a long value are few, and none takes long: this is done when a process begins."""
    began = time.perf_counter()
    for value in (
        *("amqp://u:a@h," * 5_000, "://" * 20_000, "a:b@" * 20_000, "x=" * 30_000, "password=" * 10_000),
        *("{" * 60_000, "a.b/" * 20_000, "https://" + "a" * 60_000, "'" * 60_000, "a b " * 20_000),
    ):
        secrets_from_environment({"APP_KEY": value, "APP_URL": value})
    assert time.perf_counter() - began < 20
