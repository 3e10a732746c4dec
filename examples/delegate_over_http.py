"""What a chat program does: put a task to Sunwell through OpenAI's SDK, ask on, and read the bill.

In a copy of examples/shop, with a key or with `sunwell simulate`: python delegate_over_http.py
It needs the packages of the endpoint: pip install 'sunwell[serve]'.
"""

import os
import secrets
import subprocess
import sys
from typing import Any

import openai

TOKEN = secrets.token_urlsafe(32)
MODELS = ["--smart-model", "opus", "--delegation-model", "haiku"]
LIMITS = ["--max-cost", "0.20", "--max-usd", "0.50", "--write"]  # the person who starts it decides
SERVE = [sys.executable, "-m", "sunwell", "serve", *MODELS, *LIMITS]

keys = {**os.environ, "SUNWELL_SERVE_TOKEN": TOKEN}
server = subprocess.Popen(SERVE, env=keys, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
try:
    address = server.stdout.readline().strip() if server.stdout else ""
    with openai.OpenAI(base_url=f"{address}/v1", api_key=TOKEN) as client:
        said: Any = [{"role": "user", "content": "Generate CRUD endpoints for 5 entities"}]
        answer: Any = client.chat.completions.create(model="sunwell", messages=said)
        print(answer.choices[0].message.content)
        print(f"{answer.sunwell['status']}: ${answer.sunwell['cost_usd']}, run {answer.sunwell['run_id']}")
        print(*answer.sunwell["files"], sep="\n")
        said.append({"role": "assistant", "content": answer.choices[0].message.content})
        said.append({"role": "user", "content": "Which file did you write last?"})
        then: Any = client.chat.completions.create(model="sunwell", messages=said)
        print(f"and then: ${then.sunwell['cost_usd']}")
finally:
    server.terminate()
    server.communicate()
