"""The tables of protected files: which are never read, which are never written, which are asked for.

All tools, the gathering for a lens, the sandbox of commands and ``undo`` go by these tables, so that a file
that one of them keeps closed is not open to another.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import pairwise, product
from types import MappingProxyType
from typing import Literal

import attrs

Level = Literal["secret", "repository", "fixed", "asked"]
"""``secret``: neither listed, read nor written, and empty for commands. ``repository``: the same for tools,
while commands may read it. ``fixed``: may be read, is never written. ``asked``: is written only if a person
approves it, or has named it beforehand."""


_STRENGTH: dict[Level, int] = {"secret": 3, "repository": 2, "fixed": 1, "asked": 0}


@attrs.frozen
class ProtectedKind:
    """Files that are protected for one reason.

    A pattern is a name, a name with ``*`` in it, or two such names with ``/`` between them: a folder and what
    is in it. With ``/`` at its end it means a folder, everything below it included.
    """

    level: Level
    why: str
    """The end of a sentence that begins with the path of the file."""
    patterns: tuple[str, ...]
    but: tuple[str, ...] = ()
    """Names that are open although a pattern fits."""

    @property
    def strength(self) -> int:
        """How much the level forbids: of several names of one file, the strongest counts."""
        return _STRENGTH[self.level]


def strongest(*kinds: ProtectedKind | None) -> ProtectedKind | None:
    """Return the kind that forbids most, the first of equal ones; ``None`` if there is none.

    Otherwise a secret would be opened by giving it a second name that is only asked for.
    """
    return max((kind for kind in kinds if kind is not None), key=lambda kind: kind.strength, default=None)


def _kind(level: Level, why: str, patterns: str, but: str = "") -> ProtectedKind:
    return ProtectedKind(level, why, tuple(patterns.split()), tuple(but.split()))


_SECRETS = "not open to tools; do without it, or say what you need from it"
PROTECTED = (
    _kind(
        "secret",
        f"files named .env hold secrets and are {_SECRETS}",
        ".env .env.*",
        # Written to be shown: they say which variables there are.
        but=".env.example .env.*.example .env.example.* .env.sample .env.*.sample .env.template "
        ".env.*.template .env.tmpl .env.dist .env.*.dist .env.default .env.defaults .env.schema",
    ),
    _kind(
        "secret",
        f"it holds private keys and is {_SECRETS}",
        "id_rsa id_dsa id_ecdsa id_ecdsa_sk id_ed25519 id_ed25519_sk id_xmss id_rsa.bak id_rsa.old "
        "id_dsa.bak id_ecdsa.bak id_ed25519.bak id_ed25519.old *.p12 *.pfx *.jks *.jceks *.bcfks "
        "*.keystore *.kdb *.kdbx *.ppk secring.* .ssh/ .gnupg/ .password-store/",
    ),
    _kind(
        "secret",
        f"it holds passwords or tokens of a registry, a server or a database and is {_SECRETS}",
        ".netrc _netrc .npmrc .pypirc .git-credentials .htpasswd .pgpass pgpass.conf .my.cnf "
        ".mylogin.cnf .dockercfg .docker/config.json .vault-token .databrickscfg .Renviron "
        ".cargo/credentials .cargo/credentials.toml .gem/credentials .m2/settings.xml "
        ".m2/settings-security.xml .config/gh/ .config/hub .terraformrc terraform.rc .terraform.d/",
    ),
    _kind(
        "secret",
        f"it holds the access to a cloud or a cluster and is {_SECRETS}",
        ".aws/ .azure/ .kube/ .oci/ .config/gcloud/ .boto .s3cfg kubeconfig *.kubeconfig "
        "application_default_credentials.json client_secret*.json",
    ),
    _kind(
        "secret",
        f"Terraform writes passwords and keys into its state as plain text, so it is {_SECRETS}",
        "*.tfstate *.tfstate.* .terraform/",
    ),
    _kind(
        "secret",
        f"it holds what was typed, passwords included, and is {_SECRETS}",
        ".bash_history .zsh_history .sh_history .python_history .node_repl_history .psql_history "
        ".mysql_history .sqlite_history .rediscli_history .lesshst .viminfo",
    ),
    _kind("secret", "it is a temporary file of a write", ".sunwell-*.tmp"),
    _kind("secret", ".sunwell is not open to tools", ".sunwell/"),
    _kind("repository", ".git is not open to tools", ".git/"),
    _kind("repository", "records of a version control system are not open to tools", ".hg/ .svn/ .jj/ .bzr/"),
    _kind(
        "fixed",
        "it is Sunwell's own configuration, which only a person changes; leave it as it is",
        "sunwell.toml sunwell.yaml sunwell.yml .config/sunwell/",
    ),
    _kind("asked", "direnv runs it when a shell enters the folder", ".envrc .direnv/ .direnvrc"),
    _kind(
        "asked",
        "an editor runs what it names when the folder is opened",
        ".vscode/tasks.json .vscode/settings.json .vscode/launch.json .vscode/mcp.json "
        ".vscode/extensions.json *.code-workspace .idea/ .fleet/ .zed/ .vs/ .exrc .vimrc .nvimrc "
        ".nvim.lua .dir-locals.el .dir-locals-2.el .devcontainer/ .devcontainer.json .gitpod.yml "
        ".gitpod.Dockerfile .idx/ .helix/ .lvimrc .run/ .theia/ .nova/ .kakrc",
    ),
    _kind(
        "asked",
        "a build service runs it with its own keys",
        ".github/workflows/ .github/actions/ .gitea/workflows/ .forgejo/workflows/ .gitlab-ci.yml "
        ".gitlab-ci.yaml .gitlab/ci/ .circleci/ .travis.yml azure-pipelines.yml azure-pipelines.yaml "
        ".azure-pipelines/ Jenkinsfile bitbucket-pipelines.yml .drone.yml .woodpecker.yml "
        ".woodpecker/ .buildkite/ appveyor.yml .appveyor.yml .cirrus.yml .semaphore/ .teamcity/ "
        "cloudbuild.yaml cloudbuild.yml buildspec.yml .builds/ .build.yml .tekton/ bitrise.yml "
        "codemagic.yaml "
        "netlify.toml vercel.json render.yaml .readthedocs.yaml .readthedocs.yml",
    ),
    _kind(
        "asked",
        "git reads it, and it can name programs that git runs or places that git fetches",
        ".gitmodules .gitattributes .gitconfig .config/git/ .hgrc .lfsconfig",
    ),
    _kind(
        "asked",
        "it runs at commits or other actions of git",
        ".pre-commit-config.yaml .pre-commit-config.yml .pre-commit-hooks.yaml .husky/ .huskyrc "
        ".huskyrc.* .githooks/ lefthook.yml lefthook.yaml lefthook.toml lefthook.json .lefthook.yml "
        ".lefthook.yaml lefthook-local.yml .lefthook/ .lefthook-local.yml .overcommit.yml .git-hooks/ "
        ".lefthook.toml .lefthook.json simple-git-hooks.json "
        ".simple-git-hooks.json prek.toml captainhook.json hk.pkl",
    ),
    _kind(
        "asked",
        "agents take it as instructions, or start the programs that it names",
        "AGENTS.md AGENTS.override.md AGENT.md CLAUDE.md CLAUDE.local.md GEMINI.md .claude/ .cursor/ "
        ".cursorrules .mcp.json mcp.json .codex/ .gemini/ .windsurf/ .windsurfrules "
        ".clinerules/ .roo/ .roorules .continue/ .aider.conf.yml .amazonq/ .kiro/ .junie/ .opencode/ "
        "opencode.json opencode.jsonc .goosehints .github/copilot-instructions.md "
        ".github/instructions/ .github/prompts/ .github/agents/ .github/hooks/ .github/chatmodes/ "
        "QWEN.md .qwen/ "
        "crush.json .crush.json CRUSH.md .agents/ .agent/ .kilocode/ .factory/ .amp/ .rules .augment/ "
        ".trae/",
    ),
    _kind(
        "asked",
        "a shell or a program of the desktop runs it when it starts",
        ".bashrc .bash_profile .bash_login .bash_logout .bash_aliases .profile .zshrc .zshenv "
        ".zprofile .zlogin .zlogout .kshrc .cshrc .tcshrc .login .xprofile .xsession .xsessionrc "
        ".xinitrc .pam_environment .config/fish/ .config/autostart/ .config/systemd/ .tmux.conf "
        ".screenrc .inputrc",
    ),
    _kind(
        "asked",
        "an interpreter or a debugger runs it at every start, whatever is run",
        "*.pth sitecustomize.py usercustomize.py .gdbinit .lldbinit .Rprofile .irbrc .pryrc .psqlrc "
        ".sqliterc .ipython/ .pdbrc .pdbrc.py .rdbgrc .byebugrc .ghci .ocamlinit .iex.exs "
        "jupyter_notebook_config.py jupyter_server_config.py",
    ),
    _kind(
        "asked",
        "it decides which programs, versions or registries other tools use, everywhere below it",
        ".tool-versions mise.toml .mise.toml mise.local.toml .mise.local.toml .mise/ .config/mise/ "
        ".config/mise.toml .bazelrc .cargo/config.toml .cargo/config .yarnrc .yarnrc.yml "
        ".yarn/releases/ .yarn/plugins/ .pnpmfile.cjs .mvn/ .wgetrc .curlrc .condarc .gemrc .bundle/ "
        ".pip/ pip.conf uv.toml nuget.config bunfig.toml rust-toolchain rust-toolchain.toml "
        "gradle-wrapper.properties .bazeliskrc mise-tasks/ .mise-tasks/",
    ),
)
"""All kinds of protected files. The strongest one that fits counts, and the first of equal ones."""

MADE_FOLDERS = frozenset(
    {"node_modules", "site-packages", "dist-packages", ".venv", "venv", "__pycache__", ".tox", ".nox"}
)
"""Folders that package managers fill: thousands of files that nobody opens as a project of their own."""

_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_SHORT_NAMES = {"git~1": ".git", "sunwel~1": ".sunwell", "env~1": ".env", "ssh~1": ".ssh", "aws~1": ".aws"}


def folded(name: str) -> str:
    """Return *name* as the most tolerant file systems compare it.

    Case, invisible characters, compatible spellings of letters, dots and spaces at the end, the name of a
    stream behind a colon, and the short names of FAT do not count.
    """
    if not name.isascii():
        name = unicodedata.normalize("NFKC", name)
        name = _INVISIBLE.sub("", "".join(c for c in name if unicodedata.category(c) != "Cf"))
        name = unicodedata.normalize("NFKC", name.casefold())
    plain = name.lower()
    if ":" in plain:
        plain = plain.partition(":")[0]
    plain = plain.rstrip(". ") or plain
    return _SHORT_NAMES.get(plain, plain)


@attrs.frozen
class _Rule:
    """One pattern of the table, ready to be compared."""

    kind: ProtectedKind
    above: str
    """Name of the folder that it must be in; empty: any."""
    name: "re.Pattern[str]"


def _compiled(pattern: str) -> "re.Pattern[str]":
    return re.compile(".*".join(map(re.escape, pattern.lower().split("*"))), re.DOTALL)


def _rules() -> tuple[dict[str, list[_Rule]], dict[str, list[_Rule]], list[_Rule]]:
    """Return the rules by name, by ending, and those that need a comparison."""
    by_name: dict[str, list[_Rule]] = {}
    by_ending: dict[str, list[_Rule]] = {}
    others = []
    for kind in PROTECTED:
        for pattern in kind.patterns:
            above, _, name = pattern.rstrip("/").lower().rpartition("/")
            rule = _Rule(kind, above, _compiled(name))
            if "*" not in name:
                by_name.setdefault(name, []).append(rule)
            elif name.startswith("*.") and not set("*.").intersection(name[2:]):
                by_ending.setdefault(name[2:], []).append(rule)
            else:
                others.append(rule)
    return by_name, by_ending, others


_BY_NAME, _BY_ENDING, _OTHERS = _rules()
_ANY_OTHER = re.compile("|".join(f"(?:{rule.name.pattern})" for rule in _OTHERS), re.DOTALL)
_OTHER_BEGINNINGS = frozenset(rule.name.pattern.lstrip("\\")[0] for rule in _OTHERS)
_OPEN = {kind: [_compiled(one) for one in kind.but] for kind in PROTECTED if kind.but}


@lru_cache(maxsize=65_536)
def rules_for(name: str) -> tuple[_Rule, ...]:
    """Return the rules that may fit a file or folder *name*: none for nearly all names."""
    key = name.lower()
    if not key.isascii() or ":" in key or "~" in key or key.endswith((".", " ")):
        key = folded(name)
    dot = key.rfind(".")
    named, ending = _BY_NAME.get(key, ()), _BY_ENDING.get(key[dot + 1 :], ()) if dot >= 0 else ()
    # Looked up for each file of a search: the expression is for the few that may fit.
    other = _ANY_OTHER.fullmatch(key) if key[:1] in _OTHER_BEGINNINGS or "tfstate" in key else None
    if not (named or ending or other):
        return ()
    found = (*named, *ending, *(rule for rule in _OTHERS if rule.name.fullmatch(key)))
    left = (rule for rule in found if not any(one.fullmatch(key) for one in _OPEN.get(rule.kind, ())))
    return tuple(sorted(left, key=lambda rule: -rule.kind.strength))  # .env.pth is a secret


def kind_of_name(name: str, above: str = "") -> ProtectedKind | None:
    """Return the kind of the file or folder *name* in a folder called *above*; ``None`` if it is open.

    What is below a protected folder is not looked at: ask for each name on the way.
    """
    rules = rules_for(name)
    if not rules:
        return None
    return next((rule.kind for rule in rules if not rule.above or rule.above == folded(above)), None)


@lru_cache(maxsize=4_096)
def kinds_below(above: str) -> Mapping[str, ProtectedKind]:
    """Return the kinds of files that are protected in a folder called *above* only, by their names."""
    key = folded(above)
    rules = ((name, rule) for name, rules in _BY_NAME.items() for rule in rules if rule.above == key)
    return MappingProxyType({name: rule.kind for name, rule in rules})


def why_private(name: str, above: str = "") -> str | None:
    """Return why tools may not look at a file or folder *name* in a folder *above*; ``None`` if they "
    "may."""
    kind = kind_of_name(name, above)
    return kind.why if kind is not None and kind.level in ("secret", "repository") else None


def kind_of_path(path: str, root_name: str = "") -> ProtectedKind | None:
    """Return the kind of the file at *path* in a folder called *root_name*; ``None`` if it is open.

    Of the names on the way, the strongest one counts.
    """
    names = [root_name, *path.split("/")]
    return strongest(*(kind_of_name(name, above) for above, name in pairwise(names)))


KEY_ENDINGS = (".pem", ".key")
"""Endings of files that hold keys or certificates: nothing that a lens is written from."""
JUDGED_ENDINGS = frozenset({*KEY_ENDINGS, ".asc", ".ovpn", ".crt", ".cer", ".json"})
"""Endings of files whose content decides whether they are secret."""
_HOLDS_KEYS = re.compile(rb"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_IS_KEY = re.compile(rb"\s{0,4096}(?:-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY|PuTTY-User-Key-File-\d)")
_KEY_BEGINNINGS = frozenset((b"-", b"P", b" ", b"\t", b"\r", b"\n", b"\f", b"\v"))
_JUDGED_LETTERS = frozenset(
    "".join(letters)
    for ending in JUDGED_ENDINGS
    for letters in product(*((letter, letter.upper()) for letter in ending[-3:]))
)
_LOOKS_RANDOM = re.compile(rb"[A-Za-z0-9+/_=-]{16,}")
_MOST_ACCOUNT_BYTES = 64_000


def may_be_secret(name: str, data: bytes) -> bool:
    """Whether :func:`secret_in` could find something: a quick answer, for searches in many files."""
    return data[:1] in _KEY_BEGINNINGS or name[-3:] in _JUDGED_LETTERS


def secret_in(name: str, data: bytes) -> str | None:
    """Return why the file *name* with the content *data* is secret; ``None`` if it is not.

    A file that is nothing but a private key is secret under every name. Where a name may or may not mean a
    key, the content decides: ``public.pem`` and the texts of ``locale.key`` are open.
    """
    if _IS_KEY.match(data):
        return f"it is a private key and {_SECRETS}"
    ending = name[name.rfind(".") :].lower()
    if ending not in JUDGED_ENDINGS:
        return None
    if ending == ".json":
        is_account = len(data) <= _MOST_ACCOUNT_BYTES and b'"private_key"' in data and b"_account" in data
        return f"it is the key of a service account and {_SECRETS}" if is_account else None
    if b"PRIVATE KEY" in data and _HOLDS_KEYS.search(data):
        return f"it holds a private key and is {_SECRETS}"
    if ending == ".key" and _is_bare_key(data):
        return f"it looks like a key and is {_SECRETS}"
    return None


_MOST_VARIABLES_BYTES = 64_000
_VARIABLE = re.compile(rb"(?:export[ \t]+)?[A-Z][A-Z0-9_]*=(?![ \t]+[^ \t])(.*)")
_BEGINS_AS_VARIABLES = re.compile(rb"(?:\xef\xbb\xbf)?(?:\s|#[^\n]*\n)*(?:export[ \t]+)?[A-Z][A-Z0-9_]*=")
_STATE_WORDS = (b'"terraform_version"', b'"lineage"', b'"serial"')


def secret_of_elsewhere(data: bytes) -> str | None:
    """Return why *data*, of a file whose other name is unknown, may be secret; ``None`` if nothing says so.

    That is what a file ``.env`` or a state of Terraform looks like: its name cannot say it here. Only files
    are asked about that have a name outside of the workspace.
    """
    head = data if len(data) <= _MOST_VARIABLES_BYTES else data[:_MOST_VARIABLES_BYTES].rpartition(b"\n")[0]
    if data[:1] == b"{" and all(word in head for word in _STATE_WORDS):
        return "it looks like a state of Terraform, which holds passwords"
    # The expression is quick, for workspaces in which every file has a second name.
    if _BEGINS_AS_VARIABLES.match(head) and _is_all_variables(head):
        return "it looks like a file .env, which holds secrets"
    return None


def _is_all_variables(data: bytes) -> bool:
    """Whether *data* is nothing but variables of a shell, in capitals, and comments."""
    found, quote = False, b""
    for line in data.removeprefix(b"\xef\xbb\xbf").splitlines():
        line = line.strip()
        if quote:  # a value over several lines, such as a key
            quote = b"" if line.endswith(quote) else quote
            continue
        if not line or line.startswith(b"#"):
            continue
        match = _VARIABLE.fullmatch(line)
        if match is None:
            return False
        found, value = True, match[1]
        if value[:1] in (b'"', b"'") and value.count(value[:1]) == 1:
            quote = value[:1]
    return found


def _is_bare_key(data: bytes) -> bool:
    """Whether *data* is one long random word, or no text: ``master.key`` of a framework, or DER."""
    if b"\0" in data:
        return True
    word = data.strip()
    return bool(_LOOKS_RANDOM.fullmatch(word)) and any(byte in b"0123456789" for byte in word)


def is_git_folder(names: Iterable[str]) -> bool:
    """Whether git takes a folder with these *names* for a repository, and runs what its config names."""
    there = {"HEAD", "refs", "objects", "commondir"}.intersection(names)
    return "HEAD" in there and ("commondir" in there or {"refs", "objects"} <= there)
