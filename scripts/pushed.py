"""Says what was pushed to GitHub; the place to deploy from."""

import json
import sys

push = json.load(sys.stdin)
branch = push["ref"].removeprefix("refs/heads/")
commits = push["commits"]
print(f"{len(commits)} commits to {branch} of {push['repository']['full_name']}")
for commit in commits:
    print(commit["id"][:7], commit["message"].partition("\n")[0])
