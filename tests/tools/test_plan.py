"""What a write would do is shown before it is done."""

import pytest

from sunwell.core.secrets import Secrets
from sunwell.tools import Toolbox


async def test_a_difference_deep_in_a_file_has_the_right_line_numbers(folder, ask):
    """Three lines around it, and the numbers of the whole file."""
    lines = [f"{number}\n" for number in range(1, 5_001)]
    (folder / "x").write_text("".join(lines))
    said = await ask(
        Toolbox(folder, dry_run=True, secrets=Secrets()), "edit_file", path="x", old="4000\n", new=""
    )
    assert said.content.partition("+++ b/x\n")[2] == (
        "@@ -3997,7 +3997,6 @@\n 3997\n 3998\n 3999\n-4000\n 4001\n 4002\n 4003\n"
    )


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        pytest.param(b"\0", "x", "f: a binary file of 1 bytes is replaced by 1 bytes", id="binary"),
        pytest.param(
            b"a\n" * 1600, "b\n" * 1600, "f: 1,600 lines become 1,600; too many differ", id="too-long"
        ),
        pytest.param(b"a", "b", "@@ -1 +1 @@\n-a\n\\ no line end\n+b\n\\ no line end\n", id="no-line-ends"),
    ],
)
async def test_a_difference_that_lines_do_not_show_is_told(folder, ask, old, new, said):
    """Binary files, huge changes and missing line ends are said in words."""
    (folder / "f").write_bytes(old)
    result = await ask(Toolbox(folder, dry_run=True, secrets=Secrets()), "write_file", path="f", content=new)
    assert said in result.content
