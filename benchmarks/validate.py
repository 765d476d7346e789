"""How long it takes to see that a payload fits: GitHub's own, against GitHub's own schemas.

    npm pack @octokit/webhooks-schemas @octokit/webhooks-examples
    for each in *.tgz; do mkdir ${each%.tgz}; tar xzf $each -C ${each%.tgz}; done
    python benchmarks/validate.py FOLDER-OF-THESE

jsonschema alone, and ours, which asks jsonschema only about what does not fit. Only payloads
that fit by jsonschema are timed; that ours agrees about every one is checked.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from hookrunner.schema import Schema  # noqa: E402

MOST_MEDIAN = 0.5e-3
TIMES = 5


def main() -> int:
    """Print what was measured; 1 if the limit is missed, 2 if there is nothing to measure."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path()
    schemas = next(folder.glob("octokit-webhooks-schemas-*/package/schema.json"), None)
    examples = next(
        folder.glob("octokit-webhooks-examples-*/package/api.github.com/index.json"), None
    )
    if schemas is None or examples is None:
        print(__doc__, file=sys.stderr)
        return 2
    definitions = json.loads(schemas.read_text())["definitions"]
    alone, ours = [], []
    for event in json.loads(examples.read_text()):
        name = f"{event['name']}_event"
        if name not in definitions:
            continue
        contents = {"$ref": f"#/definitions/{name}", "definitions": definitions}
        schema = Schema({"$schema": "http://json-schema.org/draft-07/schema#", **contents}, ROOT)
        for payload in event["examples"]:
            fits = not schema.judged(payload)
            assert fits == (not schema.misfits(payload)), name
            if fits:
                alone.append(_best(schema.judged, payload))
                ours.append(_best(schema.misfits, payload))
    print(f"{len(ours)} payloads           median      worst")
    for what, took in (("jsonschema alone", alone), ("ours", ours)):
        print(f"{what:18} {statistics.median(took) * 1000:8.3f} ms {max(took) * 1000:8.3f} ms")
    median = statistics.median(ours)
    print(f"ratio of medians   {median / statistics.median(alone):8.4f}")
    print(f"limit              {MOST_MEDIAN * 1000:8.3f} ms")
    return int(median > MOST_MEDIAN)


def _best(judge: Callable[[Any], Any], payload: Any) -> float:
    took = []
    for _ in range(TIMES):
        began = time.perf_counter()
        judge(payload)
        took.append(time.perf_counter() - began)
    return min(took)


if __name__ == "__main__":
    sys.exit(main())
