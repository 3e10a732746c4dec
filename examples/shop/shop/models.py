"""The records that the shop keeps."""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar


@dataclass(kw_only=True)
class Record:
    """What every stored entity has. ``TABLE`` is the name of its table and of its address."""

    PREFIX: ClassVar[str]
    TABLE: ClassVar[str]

    id: str
    created_at: str
    updated_at: str
    deleted_at: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return all fields as JSON can hold them."""
        return asdict(self)


@dataclass(kw_only=True)
class Customer(Record):
    """Somebody who buys."""

    PREFIX: ClassVar[str] = "cus"
    TABLE: ClassVar[str] = "customers"

    name: str
    email: str
    credit_limit_cents: int
    phone: str = ""


@dataclass(kw_only=True)
class Product(Record):
    """Something that is sold."""

    PREFIX: ClassVar[str] = "prd"
    TABLE: ClassVar[str] = "products"

    name: str
    category: str
    price_cents: int
    stock: int = 0


@dataclass(kw_only=True)
class Order(Record):
    """What a customer wants."""

    PREFIX: ClassVar[str] = "ord"
    TABLE: ClassVar[str] = "orders"

    customer_id: str
    product_ids: list
    total_cents: int
    note: str = ""


@dataclass(kw_only=True)
class Supplier(Record):
    """Somebody who delivers."""

    PREFIX: ClassVar[str] = "sup"
    TABLE: ClassVar[str] = "suppliers"

    name: str
    country: str
    minimum_order_cents: int
    lead_time_days: int = 7


@dataclass(kw_only=True)
class Invoice(Record):
    """What a customer owes for an order."""

    PREFIX: ClassVar[str] = "inv"
    TABLE: ClassVar[str] = "invoices"

    order_id: str
    number: str
    amount_cents: int
    due_on: str = ""


@dataclass(frozen=True)
class Category:
    """A kind of product. The list is fixed, so nothing of it is stored."""

    slug: str
    title: str
