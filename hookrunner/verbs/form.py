"""Print the Apps Script that sends a Google Form's answers to a hook."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, urlsplit

from hookrunner import route
from hookrunner.model import Hook, Trouble
from hookrunner.verbs import terminal
from hookrunner.verbs.context import Context, brief, context

EXAMPLES = """
  python runner.py form /participants --url https://YOUR-APP.herokuapp.com > form.js
  python runner.py form /participants --url https://YOUR-APP.herokuapp.com | pbcopy
"""

SCHEME = "google-forms"
TEMPLATE = Path(__file__).with_name("form.js")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="/PATH", help="of the hook; with values for its <names>")
    parser.add_argument("--url", required=True, help="where the server is, for Google")


def run(arguments: argparse.Namespace, given: Mapping[str, str]) -> int:
    project = context(arguments, given)
    found = route.find(arguments.path, project.load().hooks)
    if found is None:
        raise Trouble(
            f"no hook is at {brief(arguments.path)}; make one with: "
            f"python runner.py new {arguments.path} --from {SCHEME}"
        )
    script = apps_script(
        address(arguments.url, arguments.path), arguments.path, _secret(found[0], project)
    )
    terminal.show(script.splitlines())
    return 0


def apps_script(url: str, path: str, secret: str) -> str:
    """The script, for the hook at an address whose secret is a config var of that name."""
    filled = {
        "{{URL}}": url,
        "{{PATH}}": path,
        "{{SECRET}}": secret,
        "{{URL_JSON}}": json.dumps(url),
        "{{SECRET_JSON}}": json.dumps(secret),
    }
    text = TEMPLATE.read_text(encoding="utf-8")
    return re.sub(r"\{\{[A-Z_]+\}\}", lambda found: filled[found[0]], text)


def address(url: str, path: str) -> str:
    """Where Google is to post to. Raises Trouble."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or "YOUR-APP" in url:
        raise Trouble(
            f"--url must be the address of your app, such as https://my-app.herokuapp.com, "
            f"not {brief(url)}"
        )
    return url.rstrip("/") + quote(path)


def _secret(hook: Hook, project: Context) -> str:
    """The config var of the hook's secret. Raises Trouble if it is for no form."""
    for scheme in hook.auth:
        if scheme.name == SCHEME and (named := getattr(scheme, "of", "")):
            return str(named.partition(" or ")[0].removeprefix("$"))
    raise Trouble(
        f"{hook.path} believes no Google Form; write auth: {{{SCHEME}: $FORM_SECRET}} in hooks.yaml"
    )
