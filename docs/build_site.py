"""Build the documents as a site: ``python docs/build_site.py FOLDER``; it needs the extra ``sunwell[docs]``.

The pages are the Markdown files of the project, as they are: a code host shows the same ones. What is added
are the navigation, which follows the tables of ``docs/README.md`` and ``rfcs/README.md``, and a reference of
the names in ``docs/api.md``, from their docstrings. A broken link, an anchor that is not there, a docstring
that cannot be read, and a page that loads anything from another place end the build with status 1.
"""

import importlib
import inspect
import re
import shutil
import sys
from collections.abc import Iterable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parents[1]
PROJECT_PAGES = ("CHANGELOG", "CONTRIBUTING", "SECURITY", "docs/releasing")
_LEFT_OUT = shutil.ignore_patterns("__pycache__", "results", "peers", "*.py[cod]", "build_site.py", "*.xz")
_SETTINGS = {
    "project": "Sunwell",
    "html_title": "Sunwell",
    "copyright": "the Sunwell engineers",
    "extensions": ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"],
    "root_doc": "README",
    "exclude_patterns": ["examples/shop", "integrations/**/skills"],
    "myst_heading_anchors": 6,  # the anchors of a code host
    # A page may skip a level; a short name in a docstring may fit several things.
    "suppress_warnings": ["myst.header", "ref.python"],
    "napoleon_custom_sections": [("Options", "params_style")],
    "autodoc_member_order": "bysource",
    "autodoc_typehints": "signature",
    "autodoc_default_options": {"members": True, "undoc-members": True},
    "add_module_names": False,
    "html_theme": "furo",
    "html_copy_source": False,
    "html_show_search_summary": False,  # it would fetch pages, which a browser refuses without a server
    "html_show_sphinx": False,
}
_LOADING = {"src", "srcset", "poster", "data", "background"}
_LOADING_LINKS = {"stylesheet", "icon", "shortcut icon", "preload", "prefetch", "preconnect", "dns-prefetch"}
_IN_STYLES = re.compile(r"(?:url\(\s*|@import\s+)[\"']?((?:[a-z]+:)?//[^\s\"')]+)", re.IGNORECASE)


def public_names(page: str) -> dict[str, list[str]]:
    """Return the names that *page*, the text of ``docs/api.md``, lists for ``sunwell``, by its headings."""
    listed = page.partition("\n## Names of `sunwell`")[2].partition("\n## ")[0]
    found = {}
    for part in listed.split("\n### ")[1:]:
        heading, _, rest = part.partition("\n")
        table = next(block for block in rest.strip().split("\n\n") if block.startswith("| name"))
        found[heading] = re.findall(r"^\| `(\w+)", table, re.MULTILINE)
    return found


def other_names(page: str) -> tuple[list[str], list[tuple[str, str]]]:
    """Return the other public modules in *page*, and the names under longer paths, each with its module."""
    modules = page.partition("\n## Other public modules")[2].partition("\n## ")[0]
    paths = page.partition("\n## Other paths that stay")[2]
    return (
        re.findall(r"^\| `([\w.]+)`", modules, re.MULTILINE),
        re.findall(r"`from ([\w.]+) import (\w+)`", paths),
    )


def reference_pages() -> dict[str, str]:
    """Return the pages of the reference, by file name."""
    text = (ROOT / "docs" / "api.md").read_text()
    parts = public_names(text)
    modules, others = other_names(text)
    names = [name for listed in parts.values() for name in listed]
    if missing := set(importlib.import_module("sunwell").__all__) - set(names):
        raise SystemExit(f"docs/api.md lacks {sorted(missing)}: run python tests/test_public_api.py")
    pages: dict[str, str] = {}
    homes: dict[int, str] = {}
    for heading, listed in parts.items():
        title = f"sunwell: {heading.lower()}"
        names = [("sunwell", name) for name in listed]
        pages[heading.lower().replace(" ", "-")] = _reference(title, names, homes)
    for module in modules:
        members = getattr(importlib.import_module(module), "__all__", None) or _defined(module)
        pages[module] = _reference(module, [(module, name) for name in members], homes)
    pages["longer-paths"] = _reference("Names under longer paths", others, homes)
    entries = "\n".join(pages)
    pages["index"] = (
        "# Reference\n\nEach public name with its arguments and fields, from the docstrings. "
        f"What is public: [Python API](../docs/api.md).\n\n```{{toctree}}\n:maxdepth: 1\n\n{entries}\n```\n"
    )
    return pages


def _defined(module: str) -> list[str]:
    here = vars(importlib.import_module(module)).items()
    return [name for name, value in here if getattr(value, "__module__", "") == module and name[0] != "_"]


def _reference(title: str, names: Iterable[tuple[str, str]], homes: dict[int, str]) -> str:
    """Return a page that describes each of *names*, or says under which name the same thing is described."""
    lines = [f"# {title}", "", "```{eval-rst}"]
    for module, name in names:
        thing, path = getattr(importlib.import_module(module), name), f"{module}.{name}"
        home = homes.setdefault(id(thing), path)
        if home != path:
            lines += ["", f"``{path}`` is :py:obj:`{home}`.", ""]
            continue
        if isinstance(thing, type):
            fails = issubclass(thing, BaseException)
            lines.append(f".. autoexception:: {path}" if fails else f".. autoclass:: {path}")
            lines += ["   :show-inheritance:"] if fails else []
        elif inspect.isroutine(thing):
            lines.append(f".. autofunction:: {path}")
        else:
            lines += [f".. py:data:: {path}", "", *(f"   {line}" for line in _said_of(thing, name)), ""]
    return "\n".join([*lines, "```", ""])


def _said_of(thing: object, name: str) -> list[str]:
    """Return the lines below the assignment of a value; the packages that pass it on do not have them."""
    from sphinx.pycode import ModuleAnalyzer

    for module in sorted(name for name in sys.modules if name.startswith("sunwell.")):
        if vars(sys.modules[module]).get(name) is thing:
            said = ModuleAnalyzer.for_module(module).find_attr_docs().get(("", name))
            if said:
                return said
    return []


def lay_out(source: Path) -> None:
    """Copy the pages, and the files that they show, to *source*; add navigation and reference."""
    for folder in ("docs", "rfcs", "benchmarks", "examples", "integrations", "sunwell"):
        shutil.copytree(ROOT / folder, source / folder, ignore=_LEFT_OUT)
    for page in ROOT.glob("*.md"):
        shutil.copy(page, source)
    (source / "reference").mkdir()
    for name, text in reference_pages().items():
        (source / "reference" / f"{name}.md").write_text(text)
    documents = [f"docs/{page}" for page in _listed(source / "docs" / "README.md")]
    rooms = sorted(str(page.relative_to(source))[:-3] for page in source.glob("sunwell/**/README.md"))
    _add_contents(
        source / "README.md",
        {
            "Documents": [page for page in ("docs/README", *documents) if page not in PROJECT_PAGES],
            "Reference": ["reference/index"],
            "More": [
                "examples/README",
                "integrations/claude-code/README",
                "benchmarks/README",
                "rfcs/README",
            ],
            "Project": [page for page in PROJECT_PAGES if (source / f"{page}.md").exists()],
        },
    )
    _add_contents(source / "rfcs" / "README.md", {"": _listed(source / "rfcs" / "README.md")})
    _add_contents(source / "CONTRIBUTING.md", {"": [f"/{room}" for room in rooms]})


def _listed(index: Path) -> list[str]:
    found = re.findall(r"\]\(([\w-]+)\.md\)", index.read_text())
    return list(dict.fromkeys(found))


def _add_contents(page: Path, parts: dict[str, list[str]]) -> None:
    with page.open("a") as file:
        for caption, entries in parts.items():
            heading = f":caption: {caption}\n" if caption else ""
            file.write(
                f"\n```{{toctree}}\n:hidden:\n:titlesonly:\n{heading}\n" + "\n".join(entries) + "\n```\n"
            )


class PageReader(HTMLParser):
    """Collects what a page loads, where it links to, and its anchors."""

    def __init__(self) -> None:
        """Begin with nothing."""
        super().__init__()
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the addresses in one tag."""
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        self.loaded += [given[name] for name in _LOADING & given.keys()]
        if tag == "link" and _LOADING_LINKS & {given.get("rel", ""), *given.get("rel", "").split()}:
            self.loaded.append(given.get("href", ""))
        elif tag in ("a", "area") and "href" in given:
            self.links.append(given["href"])
        self.loaded += _IN_STYLES.findall(given.get("style", ""))


def _elsewhere(address: str) -> bool:
    parts = urlsplit(address)
    return bool(parts.netloc) or parts.scheme not in ("", "data")


def _read(path: Path) -> PageReader:
    reader = PageReader()
    reader.feed(path.read_text())
    return reader


def faults(site: Path) -> Iterator[str]:
    """Yield what is wrong with the pages in *site*: one sentence for each address."""
    pages = {path: _read(path) for path in sorted(site.rglob("*.html"))}
    for path, page in pages.items():
        where = path.relative_to(site)
        for address in page.loaded:
            if _elsewhere(address):
                yield f"{where} loads {address} from another place"
            elif not address.startswith("data:") and not _target(path, address).exists():
                yield f"{where} loads {address}, which is not there"
        for address in page.links:
            if _elsewhere(address):
                continue
            target, anchor = _target(path, address), unquote(urlsplit(address).fragment)
            if not target.exists():
                yield f"{where} links to {address}, which is not there"
            elif anchor and target in pages and anchor not in pages[target].anchors:
                yield f"{where} links to {address}: the page has no such anchor"
    for style in sorted(site.rglob("*.css")):
        for address in _IN_STYLES.findall(style.read_text()):
            yield f"{style.relative_to(site)} loads {address} from another place"


def _target(page: Path, address: str) -> Path:
    path = unquote(urlsplit(address).path)
    return (page.parent / path).resolve() if path else page


def build(folder: Path) -> int:
    """Build the site in ``folder/html``, which is made anew; return the exit status."""
    try:
        from sphinx.application import Sphinx
    except ImportError:
        print("The site needs Sphinx: pip install 'sunwell[docs]', or make docs", file=sys.stderr)
        return 1
    folder = folder.resolve()
    source, site = folder / "source", folder / "html"
    for old in (source, site, folder / "doctrees"):
        shutil.rmtree(old, ignore_errors=True)
    lay_out(source)
    settings = {**_SETTINGS, "version": importlib.import_module("sunwell").__version__}
    made = Sphinx(source, None, site, folder / "doctrees", "html", settings, status=None, warningiserror=True)
    made.build()
    (site / "index.html").write_text(
        '<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0; url=README.html">'
        '<title>Sunwell</title><a href="README.html">Sunwell</a>\n'
    )
    wrong = list(faults(site))
    if wrong or made.statuscode:
        print("\n".join([*wrong, "The site has faults: see above"]), file=sys.stderr)
        return 1
    print(site / "index.html")
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: python docs/build_site.py FOLDER")
    raise SystemExit(build(Path(sys.argv[1])))
