"""The page of a run on loopback: who may read it, and that it shows what a fresh report would."""

import asyncio
import json
import random
from pathlib import Path
from typing import Any

import attrs
import pytest

from sunwell.journal import FileJournal, read_records
from sunwell.journal.codec import encode
from sunwell.journal.records import Note, RunOpened
from sunwell.report.page.page_data import PageData
from sunwell.report.page.page_json import page_json, patched
from sunwell.report.page.run_view import RunView
from sunwell.serve.followed_run import FollowedRun
from sunwell.serve.live_page import LivePage
from sunwell.serve.loopback_server import ServerLimits

RECORDS = [RunOpened("r1", "write it", 1000.0), *(Note("run", str(i), "x" * i) for i in range(1, 300))]
NOTHING: dict[str, Any] = {field.name: {} for field in attrs.fields(PageData)}
LINES = [encode(record, seq, synced=seq) + b"\n" for seq, record in enumerate(RECORDS)]


@attrs.frozen
class Heard:
    """A response."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@attrs.define(eq=False)
class Client:
    """Asks a page as a browser would, or as one would not."""

    page: LivePage

    @property
    def port(self) -> int:
        return int(self.page.url.split(":")[2].split("/")[0])

    async def get(self, path: str = "", method: str = "GET", **headers: str) -> Heard:
        """Return the response for a *path* below the token."""
        return await self.raw(f"/{self.page.token}/{path}", method, **headers)

    async def raw(self, path: str, method: str = "GET", **headers: str) -> Heard:
        """Return the response for a whole *path*; headers are named with underscores."""
        lines = {"Host": f"127.0.0.1:{self.port}"} | {k.replace("_", "-"): v for k, v in headers.items()}
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        told = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value != "absent")
        writer.write(f"{method} {path} HTTP/1.1\r\n{told}\r\n".encode())
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        start, *rest = head.decode("ascii").split("\r\n")
        return Heard(int(start.split()[1]), dict(line.split(": ", 1) for line in rest), body)


def page_of(path: Path, **settings: Any) -> LivePage:
    """Return the page of the run whose journal is at *path*."""

    async def sent(key: str) -> dict[str, str] | None:
        return {"key": key} if key == "run/direct:0" else None

    run = FollowedRun.at(path, lambda: RunView(path))
    run.least_rest_seconds = 0.0
    return LivePage(
        run, lambda data, version, live: json.dumps([page_json(data), version, live]), sent, **settings
    )


def fresh(path: Path) -> Any:
    """Return what a report that is made now would show, as JSON."""
    view = RunView(path)
    for record in read_records(path, torn=view.torn):
        view.take(record)
    return json.loads(json.dumps(page_json(view.data())))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    place = tmp_path / "journal.jsonl"
    place.write_bytes(b"".join(LINES[:3]))
    return place


async def test_who_knows_the_address_reads_the_page(path: Path) -> None:
    """It has its data, and says where to ask for more."""
    async with page_of(path) as page:
        client = Client(page)
        shown = await client.get()
        assert shown.status == 200
        assert shown.headers["Content-Type"] == "text/html; charset=utf-8"
        assert shown.json() == [fresh(path), 1, f"/{page.token}/"]
        again = await client.get(Host=f"localhost:{client.port}", Origin=f"http://localhost:{client.port}")
        assert again.status == 200
        assert (await client.get(Sec_Fetch_Site="none", Sec_Fetch_Mode="navigate")).status == 200
        assert (await client.get(Sec_Fetch_Site="same-origin", Sec_Fetch_Mode="cors")).status == 200
        assert (await client.get(method="HEAD")).body == b""


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Host": "evil.example"}, id="another-name"),
        pytest.param({"Host": "127.0.0.1"}, id="no-port"),
        pytest.param({"Host": "127.0.0.1:1"}, id="another-port"),
        pytest.param({"Host": "127.0.0.1.evil.example:{port}"}, id="a-name-that-begins-alike"),
        pytest.param({"Host": "0.0.0.0:{port}"}, id="another-address"),
        pytest.param({"Host": "absent"}, id="no-host"),
        pytest.param({"Origin": "http://evil.example"}, id="another-origin"),
        pytest.param({"Origin": "null"}, id="a-sandbox"),
        pytest.param({"Origin": "https://127.0.0.1:{port}"}, id="another-scheme"),
        pytest.param({"Origin": "http://127.0.0.1:1"}, id="another-port-of-this-machine"),
        pytest.param({"Origin": "http://localhost:{port}"}, id="the-other-name-of-this-machine"),
        pytest.param({"Sec-Fetch-Site": "cross-site"}, id="from-another-site"),
        pytest.param({"Sec-Fetch-Site": "same-site"}, id="from-another-server-here"),
        pytest.param({"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "cors"}, id="from-an-extension"),
    ],
)
async def test_other_sites_and_names_get_nothing(path: Path, headers: dict[str, str]) -> None:
    """Not even with the token, and they do not learn whether it is right."""
    async with page_of(path) as page:
        client = Client(page)
        given = {name.replace("-", "_"): value.format(port=client.port) for name, value in headers.items()}
        for place in ("", "changes?since=0", "request?call=run%2Fdirect:0"):
            right = await client.get(place, **given)
            wrong = await client.raw(f"/{'A' * len(page.token)}/{place}", **given)
            assert right == wrong
            assert (right.status, right.body) == (404, b"Not Found\n")


async def test_other_paths_get_nothing(path: Path) -> None:
    """Nothing in a path is decoded, resolved or completed."""
    async with page_of(path) as page:
        client, token = Client(page), page.token
        for place in (
            *("/", "//", f"/{token}", f"//{token}/", f"/./{token}/", f"/{token}/../", f"/{token}//"),
            *(f"/x/../{token}/", f"/{token}/.", f"/{token}/index.html", f"/{token}/changes/"),
            *(f"/{token}/changes", f"/{token}/changes?since=-1", f"/{token}/changes?since=1&since=2"),
            *(f"/{token}/changes?since=%C2%B2", f"/{token}/changes?since={'9' * 30}", f"/{token}/request"),
            *(f"/{token}/request?call=nobody:0", f"/{token}/request?call=%ff", f"/{token}/%63hanges?since=0"),
            *(f"/{token[:-1]}/", f"/{token}x/", f"/{token.swapcase()}/", "/favicon.ico", f"/%2F{token}/"),
            *(f"/{token}/%2e%2e/journal.jsonl", f"/{token}/journal.jsonl", f"/{token};/", f"/?{token}/"),
        ):
            heard = await client.raw(place)
            assert (place, heard.status, heard.body) == (place, 404, b"Not Found\n")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "X"])
async def test_it_is_only_read_from(path: Path, method: str) -> None:
    """Other methods are refused, and without the token nobody learns even that."""
    async with page_of(path) as page:
        client = Client(page)
        heard = await client.get("", method)
        assert heard.status == 405
        assert heard.headers["Allow"] == "GET, HEAD"
        assert (await client.raw("/", method)).status == 404


async def test_the_address_for_a_browser_leads_there_once(path: Path) -> None:
    """Others see with what a browser is started: it is of no use to them any more."""
    async with page_of(path) as page:
        client = Client(page)
        once = "/" + page.url_for_once.split("/", 3)[3]
        heard = await client.raw(once)
        assert (heard.status, heard.headers["Location"]) == (303, f"/{page.token}/")
        assert page.token not in once
        assert (await client.raw(once)).status == 404


async def test_each_page_has_a_token_of_its_own(path: Path) -> None:
    """Of 256 random bits."""
    assert page_of(path).token != page_of(path).token
    assert len(page_of(path).token) == 43


async def test_the_request_of_a_call_is_given(path: Path) -> None:
    """As JSON, when somebody opens the call."""
    async with page_of(path) as page:
        heard = await Client(page).get("request?call=run%2Fdirect:0")
    assert heard.headers["Content-Type"] == "application/json"
    assert heard.json() == {"key": "run/direct:0"}


async def test_a_question_for_changes_waits_for_one(path: Path) -> None:
    """It is answered once the journal has grown, and without a change after some seconds."""
    async with page_of(path) as page:
        client = Client(page)
        now = (await client.get("changes?since=0")).json()
        waiting = asyncio.create_task(client.get(f"changes?since={now['version']}"))
        with path.open("ab") as file:
            file.write(LINES[3])
        later = (await waiting).json()
    assert later["version"] == now["version"] + 1
    assert patched(patched(NOTHING, now["patch"]), later["patch"]) == fresh(path)
    assert set(later["patch"]) == {"health"}
    async with page_of(path, wait_seconds=0.1) as page:
        client = Client(page)
        version = (await client.get("changes?since=0")).json()["version"]
        same = (await client.get(f"changes?since={version}")).json()
    assert same == {"version": version, "patch": {}, "trouble": ""}


async def test_at_any_moment_the_page_is_that_of_a_fresh_report(path: Path) -> None:
    """For two followers who ask at different times, also for a version that never was."""
    cuts = sorted(random.Random(7).sample(range(len(b"".join(LINES[:3])), len(b"".join(LINES))), 100))
    content = b"".join(LINES)
    async with page_of(path, wait_seconds=0.05) as page:
        followers = [Follower(Client(page)), Follower(Client(page), every=7)]
        for number, cut in enumerate(cuts):
            with path.open("ab") as file:
                file.write(content[file.tell() : cut])
            await page.run.look(60)
            for follower in followers:
                if number % follower.every == 0:
                    await follower.ask()
                    assert follower.shown == fresh(path)
        followers[0].version = 10**9
        await followers[0].ask()
        assert followers[0].shown == fresh(path)


@attrs.define(eq=False)
class Follower:
    """A page that somebody keeps open."""

    client: Client
    every: int = 1
    shown: Any = attrs.field(factory=lambda: NOTHING)
    version: int = 0
    trouble: str = ""

    async def ask(self) -> None:
        """Take what has changed since the last time."""
        heard = (await self.client.get(f"changes?since={self.version}")).json()
        self.shown = patched(self.shown, heard["patch"])
        self.version, self.trouble = heard["version"], heard["trouble"]


async def test_a_journal_that_is_cut_replaced_and_removed_is_followed(path: Path) -> None:
    """The page shows what is there now; if nothing is, what was there, and why it shows no more."""
    async with page_of(path, wait_seconds=0.05) as page:
        follower = Follower(Client(page))
        await follower.ask()
        with path.open("ab") as file:  # killed while it wrote, and taken up by another process
            file.write(LINES[3][:20])
        await page.run.look(60)
        FileJournal.open(path).close()
        with path.open("ab") as file:
            file.write(LINES[3] + LINES[4])
        await follow(follower, page)
        assert follower.shown == fresh(path)
        other = path.with_name("other")
        other.write_bytes(b"".join(LINES[:2]))
        other.rename(path)
        await follow(follower, page)
        assert follower.shown == fresh(path)
        before = fresh(path)
        path.unlink()
        await follow(follower, page)
        assert "cannot be read" in follower.trouble
        assert follower.shown == before
        path.write_bytes(b"".join(LINES[:9]))
        await follow(follower, page)
        assert (follower.trouble, follower.shown) == ("", fresh(path))


async def follow(follower: Follower, page: LivePage) -> None:
    await page.run.look(60)
    await page.run.look(60)
    await follower.ask()


async def test_a_page_that_nobody_asks_for_ends_after_the_run(path: Path) -> None:
    """Not while the run goes on, and not while somebody looks at it."""
    ended: list[bool] = []
    async with page_of(path) as page:
        client = Client(page)
        idle = asyncio.create_task(page.until_idle(lambda: bool(ended), 0.2))
        assert (await asyncio.wait((idle,), timeout=0.5))[1] == {idle}
        ended.append(True)
        asked_at = page.asked_at
        await client.get()
        assert page.asked_at > asked_at
        await idle


async def test_slow_clients_do_not_keep_the_page_from_others(path: Path) -> None:
    """Also not if there are many."""
    limits = ServerLimits(head_seconds=30, heads=8)
    async with page_of(path, limits=limits) as page:
        client = Client(page)
        slow = [await asyncio.open_connection("127.0.0.1", client.port) for _ in range(60)]
        for _, writer in slow:
            writer.write(b"GET /")
        assert (await client.get()).status == 200
        for _, writer in slow:
            writer.close()
