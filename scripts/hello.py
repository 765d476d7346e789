"""Greets whoever asks: the smallest hook there is. The payload is on standard input."""

import json
import sys

payload = json.load(sys.stdin)
name = payload.get("name") or "stranger"
print(f"Hello, {name}!")
