"""The endpoints of orders."""

import unittest

from tests.contract import CrudContract


class OrderEndpoints(CrudContract, unittest.TestCase):
    table = "orders"
    prefix = "ord"
    valid = {"customer_id": "cus_000001", "product_ids": ["prd_000002"], "total_cents": 1_995}
    change = {"note": "by the back door"}
    money = "total_cents"


if __name__ == "__main__":
    unittest.main()
