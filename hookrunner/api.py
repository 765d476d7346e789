"""The pages of `admin` for programs: the same in JSON; and what there is, described.

Who may have them has been decided by `access` before anything here is called.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hookrunner import admin, asking, listed
from hookrunner.admin import Admin
from hookrunner.answer import Answer, Environ, as_json
from hookrunner.asking import asked_of
from hookrunner.intake import Intake
from hookrunner.model import Found, Hook, Json, Query, Refused, Search, State
from hookrunner.openapi import document
from hookrunner.pages import settings
from hookrunner.seams import Journal

PRIVATE = {"Cache-Control": "no-store", "Vary": "Accept, Cookie, Authorization"}
"""Headers of what is only for the administrator, and another thing for browsers."""

SEARCHED = ("text", "until")
"""What is looked for with a search, which may end before it has seen all."""


class Api:
    """What programs get below /-/; each method answers a request."""

    def __init__(self, intake: Intake, journal: Journal, pages: Admin) -> None:
        self.intake = intake
        self.journal = journal
        self.pages = pages

    @property
    def hooks(self) -> Mapping[str, Hook]:
        return self.intake.config.hooks

    def overview(self, environ: Environ) -> Answer:
        """What goes on."""
        asked_of(environ, asking.NOTHING)
        hooks = self.hooks
        return told(listed.overview(hooks, self.journal.overview(hooks), self.pages.masker()))

    def hook_list(self, environ: Environ) -> Answer:
        """All hooks, in the order of hooks.yaml."""
        asked_of(environ, asking.NOTHING)
        hooks = self.hooks
        seen, mask = self.journal.overview(hooks).hooks, self.pages.masker()
        said = [listed.hook(hook, seen[path], mask) for path, hook in hooks.items()]
        return told({"hooks": said})

    def hook(self, environ: Environ) -> Answer:
        """One hook."""
        path = asked_of(environ, asking.HOOK)["path"]
        hook = self.hooks.get(path)
        if hook is None:
            raise Refused(404, "there is no such hook")
        seen = self.journal.overview([path]).hooks[path]
        runs = self.journal.search(Search(hook=path, most=admin.MOST_OF_A_HOOK)).runs
        return told(listed.one_hook(hook, seen, settings.told(hook), runs, self.pages.masker()))

    def runs(self, environ: Environ) -> Answer:
        """The runs that a query asks for, newest first."""
        asked, mask = asked_of(environ, asking.RUNS), self.pages.masker()
        if part := asked.pop("id", ""):
            if asked:
                raise Refused(400, f"id goes with nothing else, and not with {min(asked)}")
            named = [self.journal.standing(run_id) for run_id in self.journal.named(part)]
            return told(listed.runs([run for run in named if run], None, mask))
        found = self._found(asked)
        return told(listed.runs(found.runs, listed.onward("/-/runs", asked, found.older), mask))

    def _found(self, asked: Mapping[str, str]) -> Found:
        if any(name in asked for name in SEARCHED):
            return self.journal.search(read_search(asked))
        query = read_query(asked)
        # One more than is wanted tells whether there is any.
        found = self.journal.runs(replace(query, most=query.most + 1))
        runs = found[: query.most]
        return Found(runs, runs[-1].seq if len(found) > query.most else None)

    def refusals(self, environ: Environ) -> Answer:
        """What was turned away, newest first."""
        asked = asked_of(environ, asking.REFUSALS)
        found, older = self.pages.turned_away(asking.before_of(asked), asking.most_of(asked))
        onward = listed.onward("/-/refusals", asked, older)
        counts = self.pages.refused.counts()
        return told(listed.refusals(found, counts, admin.MOST_KEPT, onward))

    def description(self, environ: Environ) -> Answer:
        """All of this, and every hook, as OpenAPI has it."""
        asked_of(environ, asking.NOTHING)
        return told(self.pages.masker().schema(document.of(self.intake.config)))


def told(said: Json) -> Answer:
    """An answer in JSON to the administrator; with a Link (RFC 8288) to where a list goes on."""
    onward = said.get("next")
    links = {"Link": f'<{onward}>; rel="next"'} if onward else {}
    return as_json(200, said, **PRIVATE, **links)


def read_query(asked: Mapping[str, str]) -> Query:
    """The query of a list of runs."""
    return Query(
        hook=asked.get("hook", ""),
        state=State(asked["state"]) if "state" in asked else None,
        since=float(asked.get("since", 0.0)),
        before=asking.before_of(asked),
        most=asking.most_of(asked),
        unreplaced="unreplaced" in asked,
    )


def read_search(asked: Mapping[str, str]) -> Search:
    """The search for runs. Raises Refused(400)."""
    if "unreplaced" in asked:
        raise Refused(400, f"unreplaced does not go with {' and '.join(SEARCHED)}")
    return Search(
        hook=asked.get("hook", ""),
        state=State(asked["state"]) if "state" in asked else None,
        text=asked.get("text", "").strip()[: admin.LONGEST_TEXT],
        since=float(asked["since"]) if "since" in asked else None,
        until=float(asked["until"]) if "until" in asked else None,
        before=asking.before_of(asked),
        most=asking.most_of(asked),
    )
