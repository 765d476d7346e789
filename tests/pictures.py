"""What the pages look like: `python -m tests.pictures` takes the pictures of docs/images/.

A journal is filled with a day's runs, the real server started on it, and a real Chromium
looks at every page, light and dark, on a desk and on a phone.
"""

from __future__ import annotations

import random
import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from playwright.sync_api import sync_playwright

from hookrunner.journal.sqlite import SqliteJournal
from tests.conftest import open_chromium
from tests.serving import REPOSITORY, Project, Server

FOLDER = REPOSITORY / "docs" / "images"
TOKEN = "a token for the pictures"
SIZES = {"desktop": (1200, 800), "phone": (390, 844)}

HOOKS = """
/deploy/<target>:
  script: deploy.sh
  auth: {bearer: $DEPLOY_TOKEN}
  timeout: 10m
  respond: accepted
/signups:
  script: signups.py
  auth: none
  schema:
    type: object
    required: [name, email]
    properties:
      name: {type: string, minLength: 2, description: Who comes}
      email: {type: string, format: email}
      seats: {type: integer, minimum: 1, maximum: 4, default: 1}
      meal: {enum: [meat, fish, none]}
/orders:
  script: orders.py
  auth: {stripe: $STRIPE_SECRET}
/report:
  script: report.sh
  auth: none
"""
DEPLOY = r"""
printf '\033[1m==> Fetching\033[0m origin/main\n'
printf '\033[32m ok \033[0m 14 tests\n'
[ "$HOOK_PATH" ] && echo "deploying"
until [ -e go ]; do sleep 0.1; done
printf '\033[31mdisk full\033[0m on staging\n' >&2
exit 3
"""
FILL = """
INSERT INTO run (id, hook, state, attempt, recorded_at, method, path, params, query, headers,
                 content_type, remote_addr, delivery_id, event, body)
VALUES (?, ?, ?, 1, ?, 'POST', ?, '{}', '', '{}', 'application/json', '192.0.2.7', '', ?, '{}')
"""
ATTEMPT = "INSERT INTO attempt (run, number, started_at, exit_code) VALUES (?, 1, ?, ?)"
END = "UPDATE run SET ended_at = recorded_at + 1 WHERE seq = ?"
END_ATTEMPT = "UPDATE attempt SET state = ?, seconds = ? WHERE run = ?"


def main() -> int:
    """Take every picture."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        project = Project(Path(folder) / "project")
        project.hooks(HOOKS).script("deploy.sh", DEPLOY).script("report.sh", "echo done")
        project.script("signups.py", "print('welcome')").script("orders.py", "")
        _fill(project.folder)
        with project.serve(
            ADMIN_TOKEN=TOKEN, DEPLOY_TOKEN="a token", STRIPE_SECRET="whsec_a"
        ) as server:
            _look(server, project)
    return 0


def _fill(folder: Path) -> None:
    """A day in the life of four hooks."""
    SqliteJournal(folder / "var").close()
    chance, now = random.Random(1), time.time()
    with closing(sqlite3.connect(folder / "var" / "runs.sqlite")) as db:
        for number in range(1400):
            at = now - 86000 * (1 - number / 1400) ** 1.1
            hook, usual, event = chance.choice(
                [("/deploy/<target>", 8.0, "push"), *[("/signups", 0.03, "")] * 5,
                 *[("/orders", 0.2, "invoice.paid")] * 3, ("/report", 40.0, "")]
            )  # fmt: skip
            failed = chance.random() < (0.06 if hook != "/signups" else 0.01)
            run = "".join(chance.choices("abcdefghijklmnopqrstuvwxyz234567", k=20))
            state = "failed" if failed else "succeeded"
            path = hook.replace("<target>", "staging")
            [seq] = db.execute(
                FILL + "RETURNING seq", (run, hook, state, at, path, event)
            ).fetchone()
            db.execute(ATTEMPT, (seq, at, int(failed)))
            db.execute(END, (seq,))
            db.execute(END_ATTEMPT, (state, usual * chance.lognormvariate(0, 0.5), seq))
        db.commit()


def _look(server: Server, project: Project) -> None:
    bearer = {"Authorization": "Bearer a token"}
    push = {"version": "1.2", "by": "zoe", "commits": [{"id": "0123456", "message": "Mend it"}]}
    for number in range(3):
        server.post_json("/signups", {"name": "Zoë", "email": "zoe@example.org", "seats": number})
    server.post_json("/signups", {"name": "Z", "email": "nobody"})
    server.post("/nowhere")
    server.post_json("/deploy/staging", {})
    run = server.post_json("/deploy/staging", push, **bearer).headers["Hook-Run"]
    server.wait_for_line("| deploying")
    pages = {
        "overview": "/-/",
        "runs": "/-/runs",
        "hook": "/-/hook?path=/signups",
        "refusals": "/-/refusals",
        "live": f"/-/runs/{run}",
        "run": f"/-/runs/{run}",
    }
    with sync_playwright() as play:
        browser = open_chromium(play)
        assert browser, "there is no Chromium"
        contexts = []
        for size, (width, height) in SIZES.items():
            for scheme in ("light", "dark"):
                context = browser.new_context(
                    base_url=f"http://127.0.0.1:{server.port}",
                    viewport={"width": width, "height": height},
                    color_scheme="dark" if scheme == "dark" else "light",
                )
                page = context.new_page()
                page.goto("/-/login")
                page.screenshot(path=FOLDER / f"login-{size}-{scheme}.png")
                page.get_by_label("Token").fill(TOKEN)
                page.get_by_role("button", name="Log in").click()
                page.wait_for_url("**/-/")
                contexts.append((size, scheme, page))
        for name, address in pages.items():
            if name == "run":
                (project.folder / "go").touch()
                server.wait_until_ended(run)
            for size, scheme, page in contexts:
                page.goto(address)
                if name == "live":
                    page.get_by_text("Live: output appears").wait_for()
                    page.get_by_text("deploying").first.wait_for()
                if name == "hook":
                    heading = page.get_by_role("heading", name="Try it")
                    heading.evaluate("heading => heading.scrollIntoView()")
                page.screenshot(path=FOLDER / f"{name}-{size}-{scheme}.png")
        browser.close()


if __name__ == "__main__":
    sys.exit(main())
