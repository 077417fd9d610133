#!/usr/bin/env bash
# The README's two commands, each on a fresh clone of what is committed, as a newcomer runs them.
#
#     contrib/check-readme.sh [start|test]       both, when nothing is said
#
# Needs git, python3 (3.11 or newer), a package index, and port 6443.
set -euo pipefail
source=$(cd "$(dirname "$0")/.." && pwd)
what=${1:-all}
work=$(mktemp -d)
server=
cleanup() {
  if [ -n "$server" ]; then kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; fi
  rm -rf "$work"
}
trap cleanup EXIT

# The n-th shell block of the README.
command_of() {
  awk -v wanted="$1" '/^```sh$/ { n++; inside = (n == wanted); next } /^```$/ { inside = 0 } inside' README.md
}

clone() {
  git clone --quiet "$source" "$work/$1"
  cd "$work/$1"
}

if [ "$what" = all ] || [ "$what" = start ]; then
  clone start
  began=$SECONDS
  command=$(command_of 1)
  echo "--- $command"
  # The last part becomes the process itself, so that the signal below reaches the server.
  setsid bash -c "${command% && *} && exec ${command##* && }" >"$work/said" 2>"$work/errors" &
  server=$!
  until grep -q 'export KUBECONFIG' "$work/said"; do
    kill -0 "$server" 2>/dev/null || { cat "$work/said" "$work/errors"; echo 'the server did not start'; exit 1; }
    [ $((SECONDS - began)) -lt 600 ] || { echo 'the server was not ready within ten minutes'; exit 1; }
    sleep 0.2
  done
  cat "$work/said"
  echo "installed and ready after $((SECONDS - began)) s"
  .venv/bin/python - <<'PYTHON'
import json
import ssl
import urllib.request
from pathlib import Path

data = Path(".kcp/data")
request = urllib.request.Request(
    "https://127.0.0.1:6443/api/v1/namespaces",
    headers={"Authorization": f"Bearer {(data / 'admin.token').read_text()}"},
)
with urllib.request.urlopen(request, context=ssl.create_default_context(cafile=str(data / "ca.crt"))) as answer:
    names = [item["metadata"]["name"] for item in json.load(answer)["items"]]
assert names == ["default", "kube-public", "kube-system"], names
print("namespaces:", *names)
PYTHON
  kill -TERM "$server"
  code=0
  wait "$server" || code=$?
  server=
  [ "$code" = 0 ] || { cat "$work/errors"; echo "the server ended with exit code $code"; exit 1; }
  [ -z "$(git status --porcelain)" ] || { git status --short; echo 'files appeared that git does not ignore'; exit 1; }
fi

if [ "$what" = all ] || [ "$what" = test ]; then
  clone test
  command=$(command_of 2)
  echo "--- $command"
  began=$SECONDS
  bash -c "$command"
  echo "tested in $((SECONDS - began)) s"
fi
