"""Servers without the package, each with a fault of its own; the argument chooses it."""

import json
import sys
import time

KIND = sys.argv[1]


def say(value: object) -> None:
    print(json.dumps(value), flush=True)


def answer(message: dict, result: object) -> None:
    say({"jsonrpc": "2.0", "id": message["id"], "result": result})


def greeting(message: dict) -> dict:
    return {
        "protocolVersion": message["params"]["protocolVersion"],
        "capabilities": {"tools": {}},
        "serverInfo": {"name": "plain", "version": "1"},
    }


def tools() -> list:
    many = range(2_000) if KIND == "many" else range(1)
    return [{"name": f"tool{n}", "inputSchema": {"type": "object"}} for n in many]


if KIND == "silent":
    print("waiting for a licence", file=sys.stderr, flush=True)
    sys.stdin.read()
if KIND == "flood":
    while True:
        print("x" * 1_000)
if KIND == "line":
    while True:
        sys.stdout.write("x" * 65_536)
for line in sys.stdin:
    message = json.loads(line)
    if KIND == "garbage":
        print("Starting up …\n{not json}\n[1, 2]\n\x00\xff", flush=True)
    if message.get("method") == "initialize":
        answer(message, greeting(message))
    elif message.get("method") == "tools/list":
        answer(message, {"tools": tools()})
    elif message.get("method") == "tools/call" and KIND == "number":
        say({"jsonrpc": "2.0", "id": message["id"], "error": {"code": -32000, "message": "the disk is full"}})
    elif message.get("method") == "tools/call":
        answer(message, {"content": [{"type": "text", "text": "called"}]})
    elif KIND == "old" and "id" in message:
        sys.exit(1)  # it knows nothing of what came later, and ends
    elif "id" in message:
        say({"jsonrpc": "2.0", "id": message["id"], "error": {"code": -32601, "message": "unknown"}})
if KIND == "stubborn":
    time.sleep(600)
