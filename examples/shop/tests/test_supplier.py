"""The endpoints of suppliers."""

import unittest

from tests.contract import CrudContract


class SupplierEndpoints(CrudContract, unittest.TestCase):
    table = "suppliers"
    prefix = "sup"
    valid = {"name": "Iron Works", "country": "NO", "minimum_order_cents": 10_000}
    change = {"lead_time_days": 3}
    money = "minimum_order_cents"


if __name__ == "__main__":
    unittest.main()
