#!/usr/bin/env bash
# Takes a line of feedback from an HTML form. MESSAGE and STARS come from hooks.yaml, `env:`.
set -euo pipefail

echo "Thank you for ${STARS:-no} stars: $MESSAGE"
