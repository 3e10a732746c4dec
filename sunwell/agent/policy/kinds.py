"""stub until the policy is merged"""


def kind_of(task: str) -> str:
    """Return the kind of *task*."""
    return "other"
