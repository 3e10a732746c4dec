"""Packages with plugins, put down as an installer does it: modules and a ``dist-info`` in a folder."""

import re
from collections.abc import Mapping
from pathlib import Path

DOCUMENT = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text()


def install(
    site: Path, package: str, points: Mapping[str, Mapping[str, str]], modules: Mapping[str, str]
) -> None:
    """Put *package* down in *site*; each of its modules leaves a mark when it is imported."""
    info = site / f"{package.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    listed = [
        f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in names.items())
        for group, names in points.items()
    ]
    (info / "entry_points.txt").write_text("\n".join(listed))
    for name, text in modules.items():
        mark = "import pathlib; pathlib.Path(__file__ + '.imported').touch()\n"
        (site / f"{name}.py").write_text(mark + text)


def install_documented(site: Path) -> None:
    """Put down the package of the document, as it stands there."""
    import tomllib

    listed, module = (
        re.search(rf"^```{kind}\n# (\S+)\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)
        for kind in ("toml", "python")
    )
    assert listed
    assert module
    project = tomllib.loads(listed[2])["project"]
    install(site, project["name"], project["entry-points"], {module[1].removesuffix(".py"): module[2]})


def imported(site: Path) -> set[str]:
    """Return the modules of *site* that were imported since they were put down."""
    return {mark.name.removesuffix(".py.imported") for mark in site.glob("*.imported")}
