"""The endpoints of customers."""

import unittest

from tests.contract import CrudContract


class CustomerEndpoints(CrudContract, unittest.TestCase):
    table = "customers"
    prefix = "cus"
    valid = {"name": "Ada", "email": "ada@example.com", "credit_limit_cents": 50_000}
    change = {"phone": "555-0100"}
    money = "credit_limit_cents"


if __name__ == "__main__":
    unittest.main()
