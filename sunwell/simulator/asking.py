"""Reads a request of the core as a provider would: what the script sees, and the prompt that is billed."""

import json

import attrs

from sunwell.core.model import CacheLife, Request
from sunwell.simulator.pieces import message_pieces, schema_piece, system_piece, tool_piece
from sunwell.simulator.prices import CacheRule
from sunwell.simulator.prompt import Piece, Prompt, marked_at_end
from sunwell.simulator.script import Asked


def asked_of(model: str, request: Request) -> Asked:
    """Return *request* as a script sees it."""
    schema = request.response_schema
    return Asked(
        model=model,
        system="\n\n".join(request.system),
        messages=tuple(request.messages),
        tools=tuple(tool.name for tool in request.tools) if request.tool_choice == "auto" else (),
        schema=schema.schema if schema else None,
        max_output_tokens=request.max_output_tokens,
    )


def prompt_of(request: Request, rule: CacheRule) -> Prompt:
    """Return the prompt of *request*, with breakpoints where ``request.caching`` asks for entries."""
    head: list[Piece] = []
    if request.response_schema is not None:
        head.append(schema_piece(json.dumps(request.response_schema.schema, ensure_ascii=False)))
    head += (tool_piece(tool.name, tool.description, tool.schema_text) for tool in request.tools)
    head += (system_piece(section) for section in request.system)
    prefix = marked_at_end(head, request.caching.prefix)
    body = [piece for message in request.messages for piece in message_pieces(message)]
    conversation = request.caching.conversation
    if rule == "blocks" and conversation and body:
        life: CacheLife = "5m"
        body[-1] = attrs.evolve(body[-1], mark=life)
    return Prompt((*prefix, *body), (request.effort or "").encode(), implicit=conversation)
