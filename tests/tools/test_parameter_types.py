"""Parameters of the caller's own types: strict schemas, values as declared, errors with their place."""

import dataclasses
import datetime
import enum
import functools
import json
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, NewType, NotRequired, TypedDict
from uuid import UUID

import attrs
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sunwell.core.message import ToolCall, ToolResult
from sunwell.core.secrets import Secrets
from sunwell.errors import ConfigurationError
from sunwell.tools import Toolbox, tool
from sunwell.tools.docstrings import read_docstring
from sunwell.tools.function_tool import as_tool


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Shape(enum.Enum):
    ROUND = (1, 2)


@dataclasses.dataclass
class Item:
    """One line of an order.

    Attributes:
        name: What it is called.
    """

    name: str
    count: int = 1
    colour: Colour = Colour.RED


@attrs.frozen
class Order:
    due: datetime.date
    items: list[Item]
    _note: str | None = None


class Place(NamedTuple):
    x: float
    y: float = 0.0


class Person(TypedDict):
    name: str
    born: NotRequired[datetime.date]


class Book(pydantic.BaseModel):
    title: str = pydantic.Field(description="Its title.", min_length=2)
    pages: int = 10


class Tree(pydantic.BaseModel):
    books: list[Book]


Name = NewType("Name", str)
DAY = datetime.date(2026, 11, 29)


async def call(function: Any, **sent: Any) -> ToolResult:
    """Call *function* as a model does."""
    made = as_tool(function)
    return await Toolbox(tools=[made], secrets=Secrets()).execute(
        ToolCall("1", made.spec.name, json.dumps(sent))
    )


def require_strict(schema: Any) -> None:
    """Check what strict providers want: closed objects that need all of their keys, and no references."""
    if isinstance(schema, list):
        for one in schema:
            require_strict(one)
    elif isinstance(schema, dict):
        assert not {"$ref", "$defs", "oneOf", "allOf", "default"} & schema.keys()
        if schema.get("type") == "object":
            assert schema["additionalProperties"] is False
            assert schema["required"] == list(schema["properties"])
        for key, one in schema.items():
            if key == "properties":
                for inner in one.values():
                    require_strict(inner)
            elif key in ("items", "anyOf"):
                require_strict(one)


ITEM = {"name": "mug", "count": 2, "colour": "blue"}


@pytest.mark.parametrize(
    ("annotation", "sent", "got"),
    [
        pytest.param(Colour, "blue", Colour.BLUE, id="enum"),
        pytest.param(Level, 2, Level.HIGH, id="enum-of-integers"),
        pytest.param(Shape, "ROUND", Shape.ROUND, id="enum-by-name"),
        pytest.param(datetime.date, "2026-11-29", DAY, id="date"),
        pytest.param(
            datetime.datetime,
            "2026-11-29 10:30:00Z",
            datetime.datetime(2026, 11, 29, 10, 30, tzinfo=datetime.UTC),
            id="datetime",
        ),
        pytest.param(datetime.time, "10:30:00", datetime.time(10, 30), id="time"),
        pytest.param(datetime.timedelta, "PT1H30M", datetime.timedelta(hours=1.5), id="duration"),
        pytest.param(
            UUID,
            "123e4567-e89b-12d3-a456-426614174000",
            UUID(int=0x123E4567E89B12D3A456426614174000),
            id="uuid",
        ),
        pytest.param(Decimal, "12.50", Decimal("12.50"), id="decimal"),
        pytest.param(Path, "a/b.txt", Path("a/b.txt"), id="path"),
        pytest.param(Name, "x", "x", id="new-type"),
        pytest.param(Item, ITEM, Item("mug", 2, Colour.BLUE), id="dataclass"),
        pytest.param(Item, {"name": "mug"}, Item("mug"), id="defaults"),
        pytest.param(
            Order,
            {"due": "2026-11-29", "items": [ITEM], "note": "x"},
            Order(DAY, [Item("mug", 2, Colour.BLUE)], "x"),
            id="attrs-with-a-list-of-dataclasses",
        ),
        pytest.param(Place, {"x": 1, "y": None}, Place(1.0), id="named-tuple"),
        pytest.param(Person, {"name": "Ada", "born": None}, {"name": "Ada"}, id="typed-dict-without"),
        pytest.param(
            Person, {"name": "Ada", "born": "2026-11-29"}, {"name": "Ada", "born": DAY}, id="typed-dict"
        ),
        pytest.param(Book, {"title": "Emma", "pages": None}, Book(title="Emma"), id="pydantic"),
        pytest.param(
            Tree,
            {"books": [{"title": "Emma", "pages": 3}]},
            Tree(books=[Book(title="Emma", pages=3)]),
            id="nested",
        ),
        pytest.param(list[Item] | None, [ITEM], [Item("mug", 2, Colour.BLUE)], id="list-or-none"),
        pytest.param(list[Item] | None, None, None, id="none"),
        pytest.param(
            dict[str, datetime.date], [{"key": "a", "value": "2026-11-29"}], {"a": DAY}, id="dict-of-dates"
        ),
        pytest.param(tuple[int, str], [1, "a"], (1, "a"), id="pair"),
        pytest.param(Item | Place, {"x": 1, "y": 2}, Place(1.0, 2.0), id="one-of-two-classes"),
        pytest.param(datetime.date | int, 3, 3, id="date-or-number-as-number"),
        pytest.param(datetime.date | int, "2026-11-29", DAY, id="date-or-number-as-date"),
        pytest.param(list[Literal["a", "b"]], ["b"], ["b"], id="list-of-choices"),
        pytest.param(Item, json.dumps(ITEM), Item("mug", 2, Colour.BLUE), id="encoded-twice"),
    ],
)
async def test_a_function_gets_values_of_the_types_that_it_declares(annotation, sent, got):
    """The schema is strict, and the value is equal and of the same type."""
    seen = []

    def act(value):
        seen.append(value)

    act.__annotations__ = {"value": annotation}
    require_strict(tool(act).spec.parameters)
    result = await call(act, value=sent)
    assert (result.is_error, seen) == (False, [got]), result.content
    assert type(seen[0]) is type(got)


@pytest.mark.parametrize(
    ("annotation", "sent", "said"),
    [
        pytest.param(
            datetime.date,
            "tomorrow",
            "act: value cannot be read, got 'tomorrow'. Write: ISO 8601 date, such as 2026-11-29.",
            id="date",
        ),
        pytest.param(Colour, "green", 'act: value must be one of "red", "blue", got "green"', id="enum"),
        pytest.param(
            Order,
            {"due": "2026-11-29", "items": [{"name": "a"}, {"name": "b", "count": "two"}]},
            "act: value.items[1].count must be an integer or null",
            id="deep-type",
        ),
        pytest.param(
            Order,
            {"due": "29.11.", "items": []},
            "act: value.due cannot be read, got '29.11.'",
            id="deep-date",
        ),
        pytest.param(Order, {"due": "2026-11-29"}, "act: value.items is missing", id="missing"),
        pytest.param(
            Tree, {"books": [{"title": "E"}]}, "act: value.books[0].title: String should have", id="pydantic"
        ),
        pytest.param(tuple[int, str], [1], "act: value must have exactly 2 items, got 1", id="too-short"),
        pytest.param(tuple[int, str], ["a", 1], "act: value[0] must be of type integer", id="turned-round"),
        pytest.param(
            Annotated[int, pydantic.Field(ge=1)], 0, "act: value must be at least 1, got '0'", id="bound"
        ),
        pytest.param(
            dict[str, Decimal], [{"key": "a", "value": "x"}], "act: value.a cannot be read", id="in-a-dict"
        ),
    ],
)
async def test_a_bad_value_names_its_place(annotation, sent, said):
    """It is told before anybody is asked to approve the call, and the function is not called."""
    seen = []

    def act(value):
        seen.append(value)

    act.__annotations__ = {"value": annotation}
    box = Toolbox(tools=[tool(act)], secrets=Secrets(), approve=seen.append)
    result = await box.execute(ToolCall("1", "act", json.dumps({"value": sent})))
    assert result.is_error
    assert result.content.startswith(said)
    assert seen == []


def test_descriptions_of_fields_reach_the_model():
    """From ``Annotated``, from a class's docstring and from pydantic."""

    def act(day: Annotated[datetime.date, "When."], item: Item, book: Book) -> None: ...

    properties = tool(act).spec.parameters["properties"]
    assert properties["day"]["description"] == "When. ISO 8601 date, such as 2026-11-29."
    assert properties["item"]["properties"]["name"]["description"] == "What it is called."
    assert properties["book"]["properties"]["title"]["description"] == "Its title."


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(
            "Do it.\n\nAll of it.\n\nArgs:\n    city: Its name,\n        in full.\n    days (int): How many.",
            id="google",
        ),
        pytest.param(
            "Do it.\n\nAll of it.\n\nParameters\n----------\ncity : str\n    Its name,\n    in full.\n"
            "days : int, optional\n    How many.\n\nReturns\n-------\nstr\n    Text.",
            id="numpy",
        ),
        pytest.param(
            "Do it.\n\nAll of it.\n\n:param city: Its name,\n    in full.\n:param int days: How many.\n"
            ":returns: Text.",
            id="sphinx",
        ),
    ],
)
def test_each_style_of_docstrings_says_the_same(text):
    """The text before the sections describes the tool."""
    assert read_docstring(text) == (
        "Do it.\n\nAll of it.",
        {"city": "Its name, in full.", "days": "How many."},
    )


@given(st.text())
def test_any_docstring_can_be_read(text):
    """It gives one description, and a line for each parameter that it names."""
    for start in ("", "Args:\n", ":param a: b\n", "Parameters\n----------\n"):
        description, parameters = read_docstring(start + text)
        assert description == description.strip()
        assert all("\n" not in said and said == said.strip() for said in parameters.values())


class Shop:
    """A shop."""

    prefix = "shop"

    def stock(self, article: str) -> str:
        """Say what is there.

        Args:
            article: Its name.
        """
        return f"{self.prefix} {article}"

    @tool(name="decorated", repeatable=True)
    async def decorated(self, article: str) -> str:
        """Say what is there."""
        return f"{self.prefix} {article}"

    @classmethod
    def of_class(cls, article: str) -> str:
        """Say what is there."""
        return f"{cls.prefix} {article}"

    @classmethod
    @tool
    def class_tool(cls, article: str) -> str:
        """Say what is there."""
        return f"{cls.prefix} {article}"

    @staticmethod
    def static(article: str) -> str:
        """Say what is there."""
        return f"shop {article}"

    async def __call__(self, article: str) -> str:
        """Say what is there."""
        return f"{self.prefix} {article}"


def plain(shop: str, article: str) -> str:
    """Say what is there."""
    return f"{shop} {article}"


async def awaited(article: str, shop: str) -> str:
    """Say what is there."""
    return f"{shop} {article}"


@pytest.mark.parametrize(
    ("function", "name"),
    [
        pytest.param(Shop().stock, "stock", id="method"),
        pytest.param(Shop().decorated, "decorated", id="method-decorated-in-its-class"),
        pytest.param(Shop.of_class, "of_class", id="class-method"),
        pytest.param(Shop.class_tool, "class_tool", id="class-method-around-a-tool"),
        pytest.param(Shop.static, "static", id="static-method"),
        pytest.param(Shop(), "shop", id="object-that-can-be-called"),
        pytest.param(functools.partial(plain, "shop"), "plain", id="partial"),
        pytest.param(functools.partial(awaited, shop="shop"), "awaited", id="async-partial-by-name"),
        pytest.param(functools.partial(functools.partial(plain, "shop")), "plain", id="partial-of-a-partial"),
    ],
)
async def test_whatever_can_be_called_is_a_tool(function, name):
    """It is called as its owner would, and only the open parameters are the model's."""
    made = as_tool(function)
    assert (made.spec.name, made.spec.description) == (name, "Say what is there.")
    assert list(made.spec.parameters["properties"]) == ["article"]
    assert (await call(function, article="mug")).content == "shop mug"


def test_a_method_without_its_object_is_no_tool():
    """The sentence says how to pass it."""
    with pytest.raises(ConfigurationError, match=r"pass it from an object, such as thing\.decorated"):
        as_tool(Shop.decorated)


@dataclasses.dataclass
class Loop:
    inner: "Loop | None" = None


def test_a_class_that_contains_itself_is_refused():
    """A strict schema has an end."""

    def act(value: Loop) -> None: ...

    with pytest.raises(TypeError, match="Loop contains itself"):
        tool(act)
