"""What must hold for the endpoints of every stored entity; see CONVENTIONS.md."""

from datetime import datetime, timezone

from shop.app import App
from shop.clock import FixedClock
from shop.http import Request, Response

START = datetime(2026, 3, 1, 12, 0, tzinfo=timezone.utc)


class CrudContract:
    """The tests of one entity, to be mixed into a ``unittest.TestCase``."""

    table: str
    """Name of the table and of the address."""
    prefix: str
    """How ids of the entity begin."""
    valid: dict
    """A body that can be created, without what is optional."""
    change: dict
    """A body that changes one field."""
    money: str
    """Name of the field that holds an amount."""

    def setUp(self) -> None:
        self.clock = FixedClock(START)
        self.app = App(clock=self.clock)
        self.first = self.create()

    def call(self, method: str, path: str, body=None, **query: str) -> Response:
        return self.app.handle(Request(method, f"/{self.table}{path}", query, body))

    def create(self) -> dict:
        response = self.call("POST", "", self.valid)
        self.assertEqual(response.status, 201, response.body)
        return response.body

    def test_crud_from_creation_to_deletion(self) -> None:
        path = f"/{self.first['id']}"
        self.assertEqual({name: self.first[name] for name in self.valid}, self.valid)
        read = self.call("GET", path)
        self.assertEqual((read.status, read.body), (200, self.first))
        changed = self.call("PATCH", path, self.change)
        self.assertEqual(changed.status, 200)
        self.assertEqual({name: changed.body[name] for name in self.change}, self.change)
        self.assertEqual(self.call("GET", path).body, changed.body)
        self.assertEqual(self.call("DELETE", path).status, 204)

    def test_crud_refuses_what_is_missing_or_of_the_wrong_type(self) -> None:
        name = next(iter(self.valid))
        lacking = {key: value for key, value in self.valid.items() if key != name}
        for body in (lacking, {**self.valid, name: 7}, None, []):
            self.assertEqual(self.call("POST", "", body).status, 422, body)

    def test_not_found_for_an_unknown_id(self) -> None:
        path = f"/{self.prefix}_999999"
        for method, body in (("GET", None), ("PATCH", self.change), ("DELETE", None)):
            self.assertEqual(self.call(method, path, body).status, 404, method)

    def test_not_found_for_a_deleted_id(self) -> None:
        path = f"/{self.first['id']}"
        self.call("DELETE", path)
        for method, body in (("GET", None), ("PATCH", self.change), ("DELETE", None)):
            self.assertEqual(self.call(method, path, body).status, 404, method)

    def test_paging_gives_20_unless_told(self) -> None:
        made = [self.first] + [self.create() for _ in range(24)]
        page = self.call("GET", "").body
        self.assertEqual(page, {"items": made[:20], "total": 25, "limit": 20, "offset": 0})

    def test_paging_gives_100_at_most(self) -> None:
        made = [self.first] + [self.create() for _ in range(100)]
        page = self.call("GET", "", limit="101").body
        self.assertEqual(page, {"items": made[:100], "total": 101, "limit": 100, "offset": 0})

    def test_crud_lists_a_page_of_the_size_and_from_the_place_asked_for(self) -> None:
        made = [self.first] + [self.create() for _ in range(4)]
        page = self.call("GET", "", limit="2", offset="1").body
        self.assertEqual(page, {"items": made[1:3], "total": 5, "limit": 2, "offset": 1})

    def test_crud_refuses_a_limit_or_offset_that_is_no_count(self) -> None:
        for query in ({"limit": "many"}, {"limit": "-1"}, {"offset": "-1"}):
            self.assertEqual(self.call("GET", "", **query).status, 422, query)

    def test_unknown_fields_are_refused_on_creation(self) -> None:
        self.assertEqual(self.call("POST", "", {**self.valid, "colour": "red"}).status, 422)
        self.assertEqual(self.call("POST", "", {**self.valid, "id": "mine"}).status, 422)

    def test_unknown_fields_are_refused_on_change(self) -> None:
        path = f"/{self.first['id']}"
        self.assertEqual(self.call("PATCH", path, {**self.change, "colour": "red"}).status, 422)
        self.assertEqual(self.call("GET", path).body, self.first)

    def test_soft_delete_keeps_the_record_and_marks_it(self) -> None:
        self.call("DELETE", f"/{self.first['id']}")
        kept = self.app.shop.store.table(self.table).get(self.first["id"])
        self.assertIsNotNone(kept)
        self.assertIsNotNone(kept.deleted_at)

    def test_crud_lists_only_what_is_not_deleted(self) -> None:
        second = self.create()
        self.call("DELETE", f"/{self.first['id']}")
        page = self.call("GET", "", limit="10").body
        self.assertEqual((page["items"], page["total"]), ([second], 1))

    def test_ids_are_strings_with_the_prefix(self) -> None:
        self.assertRegex(self.first["id"], rf"\A{self.prefix}_\d{{6}}\Z")
        self.assertNotEqual(self.create()["id"], self.first["id"])

    def test_clock_sets_created_at_and_updated_at(self) -> None:
        now = START.isoformat()
        self.assertEqual((self.first["created_at"], self.first["updated_at"]), (now, now))

    def test_clock_moves_updated_at_on_change(self) -> None:
        self.clock.advance(60)
        changed = self.call("PATCH", f"/{self.first['id']}", self.change).body
        self.assertEqual(changed["created_at"], START.isoformat())
        self.assertEqual(changed["updated_at"], "2026-03-01T12:01:00+00:00")

    def test_money_is_refused_as_a_fraction(self) -> None:
        self.assertEqual(self.call("POST", "", {**self.valid, self.money: 12.5}).status, 422)
        self.assertEqual(self.call("PATCH", f"/{self.first['id']}", {self.money: 0.1}).status, 422)
