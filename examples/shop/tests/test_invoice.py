"""The endpoints of invoices."""

import unittest

from tests.contract import CrudContract


class InvoiceEndpoints(CrudContract, unittest.TestCase):
    table = "invoices"
    prefix = "inv"
    valid = {"order_id": "ord_000003", "number": "2026-17", "amount_cents": 1_995}
    change = {"due_on": "2026-04-01"}
    money = "amount_cents"


if __name__ == "__main__":
    unittest.main()
