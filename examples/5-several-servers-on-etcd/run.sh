#!/usr/bin/env bash
# Two servers over one etcd: what is written through one is read through the other, which goes on when the first is killed.
# Needs kcp with its extra `etcd`, kubectl, and etcd. Everything lies in a temporary directory; the ports are chosen by ETCD_PORT.
set -euo pipefail
work=$(mktemp -d)
port=${ETCD_PORT:-23790}
children=()
trap 'kill -9 "${children[@]}" 2>/dev/null || true; rm -rf "$work"' EXIT

etcd --name e1 --data-dir "$work/etcd" --log-level error \
  --listen-client-urls "http://127.0.0.1:$port" --advertise-client-urls "http://127.0.0.1:$port" \
  --listen-peer-urls "http://127.0.0.1:$((port + 1))" --initial-advertise-peer-urls "http://127.0.0.1:$((port + 1))" \
  --initial-cluster "e1=http://127.0.0.1:$((port + 1))" 2>"$work/etcd.log" &
children+=($!)
until (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do kill -0 $!; sleep 0.1; done

for name in a b; do
  kcp start --root-directory "$work/$name" --secure-port 0 --etcd-servers "http://127.0.0.1:$port" >"$work/$name.out" &
  children+=($!)
  until grep -q KUBECONFIG "$work/$name.out"; do kill -0 $!; sleep 0.1; done
done
a=$work/a/data/admin.kubeconfig b=$work/b/data/admin.kubeconfig

kubectl --kubeconfig "$a" create configmap hello --from-literal=through=a
kubectl --kubeconfig "$b" get configmap hello -o jsonpath='read through b: {.data}{"\n"}'
kill -9 "${children[1]}"
kubectl --kubeconfig "$b" create configmap again --from-literal=through=b
kubectl --kubeconfig "$b" get configmaps hello again -o name
