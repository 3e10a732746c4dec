"""Every endpoint module that the application serves."""

from shop.endpoints import category

ENDPOINTS = (
    category,
)
