#!/usr/bin/env bash
# Enrols whoever filled in the form. NAME and EMAIL come from hooks.yaml, `env:`.
set -euo pipefail

echo "enrolling $NAME <$EMAIL>"
