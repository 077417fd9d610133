#!/usr/bin/env bash
# Two Kubernetes clusters behind one kcp: a Deployment with ten copies is split over both, and survives the end of one of them.
#
# Needs kcp and kubectl. Everything is kept in a temporary directory. Every command is printed and executed; nothing is recorded. The
# clusters are simulated (kcp simulate-cluster), unless EAST_KUBECONFIG and WEST_KUBECONFIG are the kubeconfigs of two real
# ones: then the demo ends before a cluster does. With DEMO_PAUSE=1, each step waits for a key.
set -euo pipefail
cd "$(dirname "$0")"
root=$(cd ../.. && pwd)
export PATH=$PATH:$root/.venv/bin
for program in kcp kubectl; do
  command -v "$program" >/dev/null || { echo "run.sh: $program is not on the PATH" >&2; exit 1; }
done
work=$(mktemp -d)
children=()
trap 'kill -9 "${children[@]}" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$work"' EXIT

step() { # a line for the reader
  [ -z "${DEMO_PAUSE:-}" ] || read -rsn 1
  printf '\n# %s\n' "$*"
}
run() { # a command that succeeds
  printf '$ %s\n' "$*"
  eval "$*"
}
fails() { # a command that fails, with its message
  printf '$ %s\n' "$*"
  if eval "$*" 2>&1; then echo "this should have failed"; exit 1; fi
}
until_ready() { # a server that has written its kubeconfig's path to a file
  until grep -q 'export KUBECONFIG' "$1"; do kill -0 "$2" 2>/dev/null || { cat "$1" "${1%.out}.log" >&2; exit 1; }; sleep 0.1; done
}
becomes() { # a condition that is about to hold: a command and a text in its output
  for _ in $(seq 3000); do
    if eval "$1" 2>/dev/null | grep -qE "$2"; then return; fi
    sleep 0.1
  done
  eval "$1"
  exit 1
}

kcp start --root-directory "$work/kcp" --secure-port 0 --with-cluster-controller --push-mode --auto-publish-apis \
  --cluster-logical-clusters user --heartbeat-threshold "${DEMO_HEARTBEAT_THRESHOLD:-15s}" >"$work/kcp.out" 2>"$work/kcp.log" &
kcp=$!
children+=("$kcp")
declare -A kubeconfigs=([us-east1]=${EAST_KUBECONFIG:-} [us-west1]=${WEST_KUBECONFIG:-}) processes=()
for name in us-east1 us-west1; do
  [ -z "${kubeconfigs[$name]}" ] || continue
  kubeconfigs[$name]=$work/$name/data/admin.kubeconfig
  kcp simulate-cluster "$name" --root-directory "$work/$name" --readiness-delay 1s >"$work/$name.out" 2>"$work/$name.log" &
  processes[$name]=$!
  children+=("$!")
done
until_ready "$work/kcp.out" "$kcp"
for name in "${!processes[@]}"; do until_ready "$work/$name.out" "${processes[$name]}"; done
mkdir "$work/clusters"
for name in us-east1 us-west1; do
  {
    printf 'apiVersion: workload.kcp.io/v1alpha1\nkind: Cluster\nmetadata:\n  name: %s\nspec:\n  kubeconfig: |\n' "$name"
    kubectl config view --kubeconfig "${kubeconfigs[$name]}" --raw --flatten | sed 's/^/    /'
  } >"$work/clusters/$name.yaml"
done

step "An API server without Pods, Nodes or Deployments"
run export KUBECONFIG="$work/kcp/data/admin.kubeconfig"
run kubectl config use-context admin
fails kubectl get pods
run kubectl api-resources

step "It serves whatever is defined"
run kubectl apply -Rf external-integrations/
kubectl wait crd/databases.postgresql.crossplane.io --for condition=established >/dev/null
run kubectl explain databases.postgresql.crossplane.io

step "Another logical cluster of the same server knows nothing of that"
run "kubectl config view --minify | grep server:"
run kubectl config use-context user
run "kubectl config view --minify | grep server:"
fails kubectl get databases
run "kubectl get crds -o name | grep -v kcp.io || echo none but those of kcp"

step "Two Kubernetes clusters are registered"
cd "$work"
run head -n 8 clusters/us-west1.yaml
becomes "kubectl get crd clusters.workload.kcp.io" clusters
kubectl wait crd/clusters.workload.kcp.io --for condition=established >/dev/null
run kubectl apply -f clusters/us-west1.yaml
run kubectl apply -f clusters/us-east1.yaml
run kubectl wait cluster/us-west1 cluster/us-east1 --for condition=Ready --timeout=180s
run kubectl get clusters
becomes "kubectl api-resources" "^deployments"
run "kubectl api-resources --api-group=apps"
cd "$OLDPWD"

step "A Deployment is split over them"
run kubectl create namespace demo
run kubectl apply -n demo -f deployment.yaml
run kubectl get deployments -n demo
run kubectl rollout status -n demo deployment/my-deployment --timeout=180s
run kubectl wait deployments --all -n demo --for=condition=Available --timeout=180s
run kubectl get deployments -n demo
fails kubectl get pods
EAST=${kubeconfigs[us-east1]}
run 'kubectl --kubeconfig $EAST get deployments,pods --all-namespaces'

[ -n "${processes[us-west1]:-}" ] || exit 0
step "One of the clusters dies: without heartbeats for ${DEMO_HEARTBEAT_THRESHOLD:-15s} it is lost, and all ten copies are made on the other one"
WEST=${processes[us-west1]}
run 'kill -9 $WEST'
wait "$WEST" 2>/dev/null || true
becomes "kubectl get deployment my-deployment--us-east1 -n demo" "10/10"
run kubectl rollout status -n demo deployment/my-deployment --timeout=180s
run kubectl get deployment my-deployment my-deployment--us-east1 -n demo
