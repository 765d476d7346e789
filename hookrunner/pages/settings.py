"""A hook's settings in words, by the names that hooks.yaml has for them; no secrets.

What is filled in from config vars is shown by their names. What is written out where a
secret may be meant, as `--password=x` or `TOKEN: x`, is not shown at all.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from hookrunner.model import Dedupe, Hook, Respond, Retry, Shape, Template, Terms
from hookrunner.pages.body import SECRET
from hookrunner.units import show_duration, show_size

HIDDEN = "****"


def told(hook: Hook) -> list[tuple[str, str]]:
    """Every setting and what it is, those first that people look for first."""
    terms = hook.terms
    return [
        ("script", hook.script.name),
        ("auth", ", ".join(scheme.name for scheme in hook.auth) or "none"),
        ("methods", ", ".join(hook.methods)),
        ("schema", "as shown under Payload" if hook.schema else "none"),
        ("when", _schema(hook.when) if hook.when else "always"),
        ("respond", _respond(hook.respond)),
        ("timeout", show_duration(hook.timeout)),
        ("retry", _retry(hook.retry)),
        ("concurrency", f"{terms.concurrency} at once" if terms.concurrency else "no limit"),
        ("order", "strict" if terms.strict else "none"),
        ("queue", f"{terms.queue:,} runs"),
        ("rate", _rate(terms)),
        ("dedupe", _dedupe(hook.dedupe)),
        ("args", "\n".join(_args(hook.args)) or "none"),
        ("env", "\n".join(f"{k}: {_value(k, v)}" for k, v in hook.env.items()) or "none"),
        ("pass_env", _pass_env(hook.pass_env)),
        ("max_body", show_size(hook.max_body)),
        ("max_output", show_size(hook.max_output)),
        ("memory", "no limit" if hook.memory is None else show_size(hook.memory)),
        ("warm", "yes" if hook.warm else "no"),
        ("preload", ", ".join(hook.preload) or "nothing beside its imports"),
        ("shield", "yes" if hook.shield else "no"),
        ("keep", show_duration(terms.keep)),
        ("on_failure", hook.on_failure[-1].rpartition("/")[2] if hook.on_failure else "none"),
    ]


def _schema(shape: Shape) -> str:
    return json.dumps(getattr(shape, "contents", None), ensure_ascii=False)


def _respond(respond: Respond) -> str:
    said: list[str] = [respond.mode]
    if respond.mode != "accepted":
        said.append(f"waits {show_duration(respond.wait)}")
    if respond.mode == "output":
        said.append(respond.type)
    said += [f"exit {code} is {status}" for code, status in respond.exit_status.items()]
    if respond.redirect:
        said.append(f"redirects to {respond.redirect}")
    heads = [f"\n{k}: {HIDDEN if SECRET.search(k) else v}" for k, v in respond.headers]
    return ", ".join(said) + "".join(heads)


def _retry(retry: Retry) -> str:
    again = "" if retry.rerun else "; never after an interruption"
    if retry.attempts == 1:
        return f"1 attempt{again}"
    said = f"{retry.attempts} attempts, the second after {show_duration(retry.delay)}"
    if retry.attempts > 2 and retry.factor != 1:
        most = show_duration(retry.max)
        said += f", each further {retry.factor:g} times as late, {most} at most"
    return said + again


def _rate(terms: Terms) -> str:
    if terms.rate is None:
        return "no limit"
    return f"{terms.rate.count:,} in {show_duration(terms.rate.seconds)}"


def _dedupe(dedupe: Dedupe) -> str:
    if not dedupe.seconds:
        return "none"
    by = "the sender’s own delivery id"
    if dedupe.header:
        by = f"the header {dedupe.header}"
    elif dedupe.payload is not None:
        by = f"the payload’s {dedupe.payload}"
    return f"by {by}, for {show_duration(dedupe.seconds)}"


def _pass_env(names: tuple[str, ...] | None) -> str:
    return "all but secrets" if names is None else ", ".join(names) or "none"


def _args(args: tuple[Template, ...]) -> Iterator[str]:
    before = ""
    for arg in args:
        is_flag = arg.written.startswith("-") and "=" not in arg.written
        yield arg.written if is_flag else _value(f"{before} {arg.written}", arg)
        before = arg.written if is_flag else ""


def _value(name: str, value: Template) -> str:
    """A value as hooks.yaml has it, unless it may be a secret that somebody has written out."""
    is_named = "{" in value.written or value.written.startswith("$")
    return HIDDEN if SECRET.search(name) and not is_named else value.written
