"""What was there before the entities: categories, and addresses that lead nowhere."""

import unittest

from shop.app import App
from shop.http import Request


class Application(unittest.TestCase):
    def setUp(self) -> None:
        self.app = App()

    def test_categories_are_listed(self) -> None:
        response = self.app.handle(Request("GET", "/categories"))
        self.assertEqual([item["slug"] for item in response.body["items"]], ["books", "garden", "tools"])

    def test_an_address_that_is_not_served_is_not_found(self) -> None:
        self.assertEqual(self.app.handle(Request("GET", "/nowhere")).status, 404)

    def test_a_method_that_is_not_served_is_not_allowed(self) -> None:
        self.assertEqual(self.app.handle(Request("DELETE", "/categories")).status, 405)


if __name__ == "__main__":
    unittest.main()
