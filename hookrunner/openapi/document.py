"""The whole document: `/-/openapi.json`."""

from __future__ import annotations

from hookrunner.config import Config
from hookrunner.model import Json
from hookrunner.openapi import own
from hookrunner.openapi.answers import HEADERS, PROBLEMS, SCHEMAS
from hookrunner.openapi.hooks import Describer, path_of

VERSION = "3.1.0"
"""Of OpenAPI; its dialect of JSON Schema is draft 2020-12 with a few words more."""

TAGS: Json = [
    {"name": "hooks", "description": "What can be posted to."},
    {"name": "server", "description": "What the server says of itself and its runs."},
]


def of(config: Config) -> dict[str, Json]:
    """What a server with this configuration can be asked."""
    describer = Describer(own.NAMES)
    # In this order, for the names of what is common must not be taken.
    describer.bundle.schemas |= dict(SCHEMAS)
    hooks = {path_of(hook): describer.operations(hook) for hook in config.hooks.values()}
    return {
        "openapi": VERSION,
        "info": {
            "title": config.info.title,
            "version": config.info.version,
            **({"description": config.info.description} if config.info.description else {}),
        },
        "servers": [{"url": "/"}],
        "tags": TAGS,
        "paths": {**hooks, **own.paths()},
        "components": {
            "schemas": describer.bundle.schemas,
            "headers": dict(HEADERS),
            "responses": dict(PROBLEMS),
            "securitySchemes": describer.proofs.schemes,
        },
    }
