"""One billed exchange over HTTP: waits, generates, writes, and breaks off where it should."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

import attrs

from sunwell.core.message import Part, Text, Thinking
from sunwell.simulator.allowance import Allowance
from sunwell.simulator.billing import Call
from sunwell.simulator.faults import Fault
from sunwell.simulator.models import SimulatedModel
from sunwell.simulator.refusing import answer_headers
from sunwell.simulator.said import Said
from sunwell.simulator.spoiled import report, spoil
from sunwell.simulator.wire import Answer, Chunk, Inquiry, Refusal, WireFormat, cut_stream, encode

if TYPE_CHECKING:
    from aiohttp import web


@attrs.define(eq=False)
class Exchange:
    """A call whose input is billed; :meth:`run` answers it and closes its line in the bill."""

    wire: WireFormat
    inquiry: Inquiry
    model: SimulatedModel
    said: Said
    fault: Fault
    call: Call
    created: int
    allowance: Allowance = Allowance()

    async def run(self, request: "web.Request") -> "web.StreamResponse":
        """Answer *request*. Where the caller goes away, output counts as far as it was generated."""
        from aiohttp import web

        try:
            await asyncio.sleep(self.model.latency_seconds + self.fault.stall_before_seconds)
            if self.fault.cut == "before":
                self.call.end("cut")
                _hang_up(request)
                return web.Response()
            self.call.begin_answer()
            if self.fault.gateway_status is not None:
                return self._lost(self.fault.gateway_status)
            if self.inquiry.stream or self.fault.stream_anyway:
                return await self._stream(request)
            return await self._plain(request)
        finally:
            self.call.end("cancelled")

    def _lost(self, status: int) -> "web.Response":
        """Generate the whole answer, and send the error of a gateway that could not use it."""
        from aiohttp import web

        self.call.generate(self.said.output_tokens)
        self.call.end("cut")
        # In the provider's own shape, as some gateways do: the hardest to tell from a refusal.
        told = self.wire.refuse(Refusal(status, "Provider returned error"), self.call.request_id)
        return web.Response(status=status, body=encode(told), content_type="application/json")

    async def _plain(self, request: "web.Request") -> "web.StreamResponse":
        from aiohttp import web

        answer = self._answer()
        if self.model.chunk_seconds or self.fault.stall_midway_seconds:
            chunks = self.wire.stream(answer)
            for i in range(len(chunks)):
                await self._generate(i, len(chunks))
        self.call.generate(self.said.output_tokens)
        body = encode(self.wire.plain(answer))
        headers = answer_headers(self.wire.name, self.call.request_id, self.allowance)
        if self.fault.cut is None:
            self.call.end()
            return web.Response(body=body, content_type="application/json", headers=headers)
        response = web.StreamResponse(headers=headers | {"content-type": "application/json"})
        response.content_length = len(body)
        self.call.end("cut")
        await response.prepare(request)
        await response.write(body[: len(body) // 2])
        _hang_up(request)
        return response

    async def _stream(self, request: "web.Request") -> "web.StreamResponse":
        from aiohttp import web

        whole = self.wire.stream(self._answer())
        chunks, drops = cut_stream(whole, self.fault.cut)
        headers = answer_headers(self.wire.name, self.call.request_id, self.allowance)
        response = web.StreamResponse(
            headers=headers
            | {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
        )
        await response.prepare(request)
        await self._write(response, chunks, len(whole))
        self.call.end("cut" if self.fault.cut else "answered")
        if drops:
            _hang_up(request)
        else:
            await response.write_eof()
        return response

    async def _write(self, response: "web.StreamResponse", chunks: "Sequence[Chunk]", whole: int) -> None:
        """Write *chunks* of an answer of *whole* chunks; the last two of it generate nothing new."""
        if not self.model.chunk_seconds and not self.fault.stall_midway_seconds:
            self.call.generate(self._generated(len(chunks) - 1, whole))
            await response.write(b"".join(chunk.data for chunk in chunks))
            return
        for i, chunk in enumerate(chunks):
            await self._generate(i, whole)
            await response.write(chunk.data)

    async def _generate(self, i: int, whole: int) -> None:
        await asyncio.sleep(self.model.chunk_seconds)
        if i == whole // 2:
            await asyncio.sleep(self.fault.stall_midway_seconds)
        self.call.generate(self._generated(i, whole))

    def _generated(self, i: int, whole: int) -> int:
        """Return the output generated by the end of chunk *i*; a stream's end itself generates none."""
        return min(self.said.output_tokens, self.said.output_tokens * (i + 1) // max(1, whole - 1))

    def _answer(self) -> Answer:
        shown = spoil(self.said, self.fault)
        return Answer(
            request_id=self.call.request_id,
            model=self.fault.answering_model or self.inquiry.asked.model,
            said=attrs.evolve(shown, parts=tuple(part for part in shown.parts if self._is_shown(part))),
            usage=report(self.call.split, self.said, self.fault),
            fault=self.fault,
            created=self.created,
            include_usage=self.inquiry.include_usage,
        )

    def _is_shown(self, part: Part) -> bool:
        """Leave out empty texts: a provider sends none, and refuses them when they come back."""
        if isinstance(part, Thinking):
            return self.inquiry.thinking
        return not isinstance(part, Text) or part.text != ""


def _hang_up(request: "web.Request") -> None:
    """Close the connection after what is written already, without a proper end of the body."""
    if request.transport is not None:
        request.transport.close()
