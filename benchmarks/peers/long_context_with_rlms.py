"""The job of ``long_context.py`` with rlms, the package of the authors of recursive language models.

Its ``max_budget`` adds up what the provider says that each answer cost, which OpenAI's format does not say.
With ``usd_per_million`` this program says it in the provider's place, by the prices of the server.
"""

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rlm import RLM
from rlm.clients.openai import OpenAIClient
from rlm.logger import RLMLogger

_track = OpenAIClient._track_cost


def tell_costs(usd_per_million: dict[str, list[float]]) -> None:
    """Have each answer counted at these prices of input and output, by model."""

    def track(client: OpenAIClient, response: Any, model: str) -> None:
        _track(client, response, model)
        read, written = usd_per_million[model]
        usage = response.usage
        client.model_costs[model] += (usage.prompt_tokens * read + usage.completion_tokens * written) / 1e6

    OpenAIClient._track_cost = track


def main() -> None:
    """Read the job from standard input, do it, and print what came of it."""
    job = json.load(sys.stdin)
    if job.get("usd_per_million"):
        tell_costs(job["usd_per_million"])
    server = {"base_url": job["url"], "api_key": job["key"]}
    root, reader = ({"model_name": name, **server} for name in job["models"])
    rlm = RLM(
        backend="openai",
        backend_kwargs=root,
        other_backends=["openai"],
        other_backend_kwargs=[reader],
        max_budget=job.get("max_budget"),
        max_tokens=job.get("max_tokens"),
        logger=RLMLogger(log_dir=job["log"]),
    )
    context = (Path(job["folder"]) / "context.txt").read_text()
    told: dict[str, Any] = {"version": version("rlms"), "answer": "", "error": ""}
    begun = time.perf_counter()
    try:
        told["answer"] = rlm.completion(context, root_prompt=job["question"]).response
    except Exception as error:
        told["error"] = f"{type(error).__name__}: {error}"
        told["answer"] = getattr(error, "partial_answer", None) or ""
    told["seconds"] = round(time.perf_counter() - begun, 2)
    print(json.dumps(told))


if __name__ == "__main__":
    main()
