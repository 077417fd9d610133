#!/usr/bin/env bash
# Define a type, create an object of it, and see defaults, columns, rules, scale and explain at work.
# Needs kubectl, and KUBECONFIG for a running kcp.
set -euo pipefail
cd "$(dirname "$0")"

kubectl apply -f crd.yaml
kubectl wait --for=condition=Established crd/widgets.example.com
kubectl apply -f widget.yaml
kubectl get widgets
kubectl scale widget/first --replicas=2
kubectl get wd first -o jsonpath='{.spec.replicas}{"\n"}'
kubectl explain widget.spec.size

echo 'a rule refuses four large widgets:'
if kubectl patch widget/first --type=merge -p '{"spec": {"size": "large", "replicas": 4}}'; then exit 1; fi
