"""The runner's own pages, as HTML. Values in, text out.

Here is what every server needs; the modules beside it are for those who look: `shown` has
what each page is given, and each page is a module of its own.
"""

from __future__ import annotations

SECURITY = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
"""Headers of the landing page, which carries its style in itself."""

STRICT = {
    **SECURITY,
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Headers of every page below /-/."""

LANDING = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>hookrunner</title>
<style>
:root { color-scheme: light dark; }
body { font: 1rem/1.6 system-ui, sans-serif; max-width: 36rem; margin: 4rem auto; padding: 0 1rem; }
code { font-size: .95em; }
</style>
</head>
<body>
<main>
<h1>hookrunner is running</h1>
<p>It runs a script for every delivery to a hook. The hooks are listed in
<code>hooks.yaml</code>; to see them, run <code>python runner.py check</code> where the
project is.</p>
<p>To add one: write a script into <code>scripts/</code>, name it in
<code>hooks.yaml</code> under the path of your choice, and start again.</p>
</main>
</body>
</html>
"""
