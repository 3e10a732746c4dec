"""The endpoints of products."""

import unittest

from tests.contract import CrudContract


class ProductEndpoints(CrudContract, unittest.TestCase):
    table = "products"
    prefix = "prd"
    valid = {"name": "Rake", "category": "garden", "price_cents": 1_995}
    change = {"stock": 12}
    money = "price_cents"


if __name__ == "__main__":
    unittest.main()
