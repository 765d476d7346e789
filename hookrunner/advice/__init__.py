"""What newcomers get wrong though hooks.yaml is in order: said by `check`, with how to mend it.

None of it keeps a server from starting; all of it has cost somebody an evening.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hookrunner import envfile, route
from hookrunner.advice import patterns, schemas, scripts
from hookrunner.config import Config
from hookrunner.model import Hook
from hookrunner.schema import Schema

ROUTER_SECONDS = 30.0
"""After which Heroku's router answers 503 in our place (H12)."""

SHORTEST_SECRET = 8
"""Characters; all shorter ones can be tried in days where nothing limits the tries."""

GUESSED = frozenset(
    ("password", "passw0rd", "password1", "12345678", "123456789", "1234567890", "changeme",
     "change-me", "change_me", "changeit", "topsecret", "mysecret", "my-secret", "my_secret",
     "secret123", "test1234", "testtest", "testing123", "hunter22", "letmein1", "qwertyui",
     "qwerty123", "helloworld", "hello123", "hello-world", "tokentoken", "webhook1",
     "webhook-secret", "webhooksecret", "your-secret", "your_secret", "secretsecret", "supersecret",
     "super-secret", "placeholder", "undefined", "xxxxxxxx", "00000000", "11111111")
)  # fmt: skip
"""Values that stand in tutorials and lists; shorter ones are too short already."""


def advice(config: Config) -> Iterator[str]:
    """A line for everything that is likely to be a mistake."""
    started: dict[Path, None] = {}
    for hook in config.hooks.values():
        started.setdefault(hook.script)
        if hook.on_failure:
            started.setdefault(Path(hook.on_failure[-1]))
        yield from _of_hook(hook)
    yield from _of_paths(list(config.hooks))
    for folder in {script.parent: None for script in started if script.suffix == ".py"}:
        yield from scripts.hidden(folder, config.root)
    for script in started:
        yield from scripts.doubts(script, config.root)
    yield from _of_secrets(config)
    yield from envfile.doubts(config.root / ".env", _variables(config))


def _of_hook(hook: Hook) -> Iterator[str]:
    if hook.respond.wait >= ROUTER_SECONDS:
        yield (
            f"{hook.path} waits {hook.respond.wait:g}s for its script; Heroku's router gives up "
            "after 30s; write respond: {wait: 25s}, or accepted"
        )
    contents = getattr(hook.schema, "contents", True)
    if why := schemas.unmatchable(contents):
        yield f"{hook.path}: no payload fits its schema: {why}"
    for told in schemas.misspelt(contents):
        yield f"{hook.path}: in its schema {told}"
    for word, schema in (("schema", hook.schema), ("when", hook.when)):
        if isinstance(schema, Schema):
            for told in dict.fromkeys(patterns.slow(schema)):
                yield f"{hook.path}: in its {word} {told}"


def _of_paths(paths: list[str]) -> Iterator[str]:
    """Of two paths with names that match one request, and neither is the plainer."""
    for place, path in enumerate(paths):
        for other in paths[place + 1 :]:
            if common := _common(path.split("/"), other.split("/")):
                winner = route.find(common, {each: each for each in (path, other)})
                assert winner is not None
                loser = other if winner[0] == path else path
                yield f"{common} is answered by {winner[0]}, though {loser} matches it, too"


def _common(path: list[str], other: list[str]) -> str:
    """A request that both match, where each has a name that the other has not; empty if none."""
    if len(path) != len(other):
        return ""
    pairs = [
        (one, two, bool(route.NAME.fullmatch(one)), bool(route.NAME.fullmatch(two)))
        for one, two in zip(path, other, strict=True)
    ]
    if any(one != two and not (named or also) for one, two, named, also in pairs):
        return ""
    if {(True, False), (False, True)} - {(named, also) for _, _, named, also in pairs}:
        return ""
    parts = [two if named else one for one, two, named, _ in pairs]
    return route.NAME.sub(r"\1", "/".join(parts))


def _of_secrets(config: Config) -> Iterator[str]:
    for name in sorted(config.secret_names - {"JOURNAL_URL"}):
        value = config.environ.get(name, "")
        sender = config.shown_by.get(name)
        if not value or name in config.unusable:
            continue
        mend = "" if sender else "; make one with: openssl rand -hex 32"
        if len(value) < SHORTEST_SECRET:
            yield (
                f"the value of {name} is shorter than {SHORTEST_SECRET} characters, and can be "
                f"guessed{mend}"
            )
        elif value.lower() in GUESSED:
            yield f"the value of {name} is one that everybody tries{mend}"
        elif sender == "stripe" and not value.startswith("whsec_"):
            yield (
                f"the value of {name} is no signing secret of Stripe's, which begins with whsec_; "
                "what to put there: python runner.py senders stripe"
            )


def _variables(config: Config) -> frozenset[str]:
    """The config vars that hooks.yaml names, as far as it is known."""
    missing = {name for hook in config.hooks.values() for name in hook.missing}
    return config.secret_names | missing
