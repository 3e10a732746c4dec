"""Give the model a function of yours as a tool, beside the tools of the workspace.

In any folder, with a key or with `sunwell simulate`: python own_tool.py
"""

import sunwell

STOCK = {"mug": 4, "plate": 0}


@sunwell.tool(parallel=True, repeatable=True)  # it only reads, so it may run beside others and run again
def stock_of(article: str) -> int:
    """Say how many pieces of an article there are.

    Args:
        article: Its name, in lower case.
    """
    if article not in STOCK:
        raise sunwell.ToolError(f"there is no article {article!r}; known: {', '.join(STOCK)}")
    return STOCK[article]


result = sunwell.run_sync("How many mugs are there?", model="haiku", tools=[stock_of])

print(result.answer)
print("tools called:", dict(result.tools_called))
