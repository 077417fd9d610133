#!/usr/bin/env bash
# Write requirements-dev.lock: what development and CI install, with hashes, for every Python and platform of the project.
#
#     contrib/lock.sh                    keep the versions that still fit the ranges of pyproject.toml
#     contrib/lock.sh --upgrade          take the newest versions
#
# Needs uv, which the README's test command installs.
set -euo pipefail
cd "$(dirname "$0")/.."
uv=.venv/bin/uv
[ -x "$uv" ] || uv=uv
exec "$uv" pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes --extra etcd --extra secretbox --group dev \
  --no-emit-index-url --no-emit-find-links --custom-compile-command contrib/lock.sh --output-file requirements-dev.lock "$@"
