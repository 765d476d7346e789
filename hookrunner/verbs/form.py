"""Print the Apps Script that sends a Google Form's answers to a hook."""

from __future__ import annotations

import argparse
import json
import re
import shlex
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import quote, urlsplit

from hookrunner import route
from hookrunner.model import Hook, Trouble
from hookrunner.verbs import terminal
from hookrunner.verbs.context import PLACEHOLDER, Context, app_address, brief, context

EXAMPLES = """
  python runner.py form /participants --url https://YOUR-APP.herokuapp.com > form.js
  python runner.py form /participants --url https://YOUR-APP.herokuapp.com | pbcopy
  python runner.py form /participants     with a place for the address of your app
"""

SCHEME = "google-forms"
TEMPLATE = Path(__file__).with_name("form.js")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="/PATH", help="of the hook; with values for its <names>")
    parser.add_argument("--url", help="where the server is, for Google")


def run(arguments: argparse.Namespace, given: Mapping[str, str]) -> int:
    project = context(arguments, given)
    path = "/" + arguments.path.removeprefix("/")
    found = route.find(path, project.load().hooks)
    if found is None:
        raise Trouble(
            f"no hook is at {brief(path)}; make one with: "
            f"python runner.py new {shlex.quote(path)} --from {SCHEME}"
        )
    url = app_address(arguments.url) if arguments.url else PLACEHOLDER
    script = apps_script(url + quote(path), path, _secret(found[0], project))
    terminal.complain(_doubts(url))
    terminal.show(script.splitlines())
    return 0


def apps_script(url: str, path: str, secret: str) -> str:
    """The script, for the hook at an address whose secret is a config var of that name."""
    filled = {
        "{{URL}}": url,
        # `*/` would end the comment; to a shell the two quotes between are nothing.
        "{{PATH}}": shlex.quote(path).replace("*/", "*''/"),
        "{{SECRET}}": secret,
        "{{URL_JSON}}": json.dumps(url),
        "{{SECRET_JSON}}": json.dumps(secret),
    }
    text = TEMPLATE.read_text(encoding="utf-8")
    return re.sub(r"\{\{[A-Z_]+\}\}", lambda found: filled[found[0]], text)


def _doubts(url: str) -> list[str]:
    """What is to be said of an address that Google cannot post to."""
    if url == PLACEHOLDER:
        return [
            "the script's URL lacks your app: put its address in place of "
            f"{PLACEHOLDER}, or give it here: --url https://…"
        ]
    host = urlsplit(url).hostname or ""
    try:
        near = not ip_address(host).is_global
    except ValueError:
        near = "." not in host or host.endswith((".localhost", ".local", ".internal"))
    return [f"warning: Google cannot reach {url}; give your app's public address"] if near else []


def _secret(hook: Hook, project: Context) -> str:
    """The config var of the hook's secret. Raises Trouble if it is for no form."""
    for scheme in hook.auth:
        if scheme.name == SCHEME and (named := getattr(scheme, "of", "")):
            return str(named.partition(" or ")[0].removeprefix("$"))
    raise Trouble(
        f"{hook.path} believes no Google Form; write auth: {{{SCHEME}: $FORM_SECRET}} in hooks.yaml"
    )
