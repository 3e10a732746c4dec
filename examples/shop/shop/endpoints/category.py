"""Endpoints of categories. The list is fixed: it can be read, and nothing else."""

from dataclasses import asdict

from shop.context import Shop
from shop.http import Request, Response
from shop.models import Category
from shop.router import Router

CATEGORIES = (
    Category("books", "Books"),
    Category("garden", "Garden"),
    Category("tools", "Tools"),
)


def register(router: Router) -> None:
    """Add the routes of this module."""
    router.add("GET", "/categories", list_all)


def list_all(shop: Shop, request: Request) -> Response:
    """Return every category; there are few."""
    return Response(200, {"items": [asdict(category) for category in CATEGORIES]})
