"""kubectl's commands for Kubernetes' own kinds, against the definitions that crd-puller makes of them."""

from __future__ import annotations

import pytest
import yaml

from tests.kubectl.pulled import Object, PulledKubectl
from tests.support.kubectl import WITH_PATIENCE
from tests.support.waiting import wait_until

DEFAULTS = {"terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"}
"""The defaults of containers."""
CREATED = (
    (("deployment", "web", "--image=nginx:1", "--replicas=3", "--port=80"), "deployment/web", ".spec.replicas", "3"),
    (("job", "once", "--image=busybox", "--", "date"), "job/once", ".spec.template.spec.restartPolicy", "Never"),
    (
        ("cronjob", "nightly", "--image=busybox", "--schedule=0 3 * * *"),
        "cronjob/nightly",
        ".spec.schedule",
        "0 3 * * *",
    ),
    (("service", "clusterip", "a", "--tcp=80:8080"), "service/a", ".spec.ports[0].targetPort", "8080"),
    (("service", "nodeport", "b", "--tcp=80", "--node-port=30080"), "service/b", ".spec.ports[0].nodePort", "30080"),
    (("service", "loadbalancer", "c", "--tcp=80"), "service/c", ".spec.type", "LoadBalancer"),
    (("service", "externalname", "d", "--external-name=example.com"), "service/d", ".spec.externalName", "example.com"),
    (("ingress", "web", "--rule=a.com/x*=web:http"), "ingress/web", ".spec.rules[0].http.paths[0].pathType", "Prefix"),
    (("configmap", "c", "--from-literal=a=b"), "configmap/c", ".data.a", "b"),
    (("secret", "generic", "s", "--from-literal=a=b"), "secret/s", ".data.a", "Yg=="),
    (("quota", "q", "--hard=pods=2,cpu=1000m"), "quota/q", ".spec.hard.cpu", "1"),
    (("poddisruptionbudget", "p", "--selector=a=b", "--max-unavailable=25%"), "pdb/p", ".spec.maxUnavailable", "25%"),
    (("role", "r", "--verb=get", "--resource=pods,deployments.apps"), "role/r", ".rules[1].apiGroups[0]", "apps"),
    (("rolebinding", "r", "--role=r", "--user=alice"), "rolebinding/r", ".subjects[0].name", "alice"),
    (("serviceaccount", "robot"), "serviceaccount/robot", ".metadata.name", "robot"),
)
"""The arguments of `create`, the object, and a field with its value."""


@pytest.mark.parametrize(("arguments", "name", "path", "value"), CREATED, ids=[" ".join(row[0][:2]) for row in CREATED])
def test_create_stores_what_the_flags_say(
    pulled_kubectl: PulledKubectl, arguments: tuple[str, ...], name: str, path: str, value: str
) -> None:
    pulled_kubectl("create", *arguments)
    assert pulled_kubectl("get", name, "-o", f"jsonpath={{{path}}}") == value


def test_a_priority_class_belongs_to_the_cluster(pulled_kubectl: PulledKubectl) -> None:
    pulled_kubectl("delete", "priorityclass", "high", "--ignore-not-found")
    pulled_kubectl("create", "priorityclass", "high", "--value=1000", "--preemption-policy=Never")
    assert pulled_kubectl.read("priorityclass", "high")["preemptionPolicy"] == "Never"
    pulled_kubectl("delete", "priorityclass", "high")


def test_a_pod_is_run_and_exposed(pulled_kubectl: PulledKubectl) -> None:
    pulled_kubectl("run", "web", "--image=nginx", "--port=80", "--env=A=b", "--labels=app=web")
    pod = pulled_kubectl.read("pod", "web")["spec"]
    container = {"name": "web", "image": "nginx", "ports": [{"containerPort": 80, "protocol": "TCP"}], "resources": {}}
    assert pod["containers"] == [{**container, "env": [{"name": "A", "value": "b"}], **DEFAULTS}]
    pulled_kubectl("expose", "pod", "web", "--target-port=8080")
    service = pulled_kubectl.read("service", "web")["spec"]
    assert service["ports"] == [{"port": 80, "protocol": "TCP", "targetPort": 8080}]
    assert service["selector"] == {"app": "web"}


def test_set_changes_the_container_that_it_names(pulled_kubectl: PulledKubectl) -> None:
    pulled_kubectl("create", "deployment", "web", "--image=nginx:1", "--image=redis:1")
    pulled_kubectl("set", "image", "deployment/web", "redis=redis:2")
    pulled_kubectl("set", "env", "deployment/web", "-c", "redis", "COLOR=blue", "SIZE=1")
    pulled_kubectl("set", "env", "deployment/web", "-c", "redis", "SIZE-")
    pulled_kubectl("set", "resources", "deployment/web", "-c", "redis", "--limits=cpu=0.5,memory=1024Mi")
    pulled_kubectl("set", "serviceaccount", "deployment/web", "robot")
    spec = pulled_kubectl.read("deployment/web")["spec"]["template"]["spec"]
    assert spec["serviceAccountName"] == "robot"
    assert spec["containers"] == [
        {"name": "nginx", "image": "nginx:1", "resources": {}, **DEFAULTS},
        {
            "name": "redis",
            "image": "redis:2",
            "env": [{"name": "COLOR", "value": "blue"}],
            "resources": {"limits": {"cpu": "500m", "memory": "1Gi"}},
            **DEFAULTS,
        },
    ]


def test_the_selector_of_a_service_is_replaced(pulled_kubectl: PulledKubectl) -> None:
    pulled_kubectl("create", "service", "clusterip", "web", "--tcp=80")
    pulled_kubectl("set", "selector", "service/web", "tier=front")
    assert pulled_kubectl.read("service/web")["spec"]["selector"] == {"tier": "front"}


def test_workloads_are_scaled_and_autoscaled(pulled_kubectl: PulledKubectl) -> None:
    pulled_kubectl("create", "deployment", "web", "--image=nginx", "--replicas=2")
    assert "Expected replicas to be 4, was 2" in pulled_kubectl.fails(
        "scale", "deployment/web", "--current-replicas=4", "--replicas=3"
    )
    pulled_kubectl("scale", "deployment/web", "--replicas=3")
    assert pulled_kubectl.read("deployment/web")["spec"]["replicas"] == 3
    pulled_kubectl("autoscale", "deployment", "web", "--min=2", "--max=5", "--cpu=80%")
    scaler = pulled_kubectl.read("hpa", "web")["spec"]
    assert scaler["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    target = {"type": "Utilization", "averageUtilization": 80}
    assert scaler["metrics"] == [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]


def test_labels_and_annotations_are_changed(pulled_kubectl: PulledKubectl) -> None:
    pulled_kubectl("create", "deployment", "web", "--image=nginx")
    pulled_kubectl("label", "deployment/web", "tier=front", "app-")
    pulled_kubectl("annotate", "deployment/web", "note=a b")
    metadata = pulled_kubectl.read("deployment/web")["metadata"]
    assert (metadata["labels"], metadata["annotations"]["note"]) == ({"tier": "front"}, "a b")
    assert "web" in pulled_kubectl("get", "deployments", "-l", "tier=front", "-o", "name")


def test_an_edit_changes_and_removes(pulled_kubectl: PulledKubectl) -> None:
    pulled_kubectl("create", "deployment", "web", "--image=nginx:1", "--port=80")
    pulled_kubectl("set", "env", "deployment/web", "A=1", "B=2")
    removed = r"/- name: B/{N;d};s/nginx:1/nginx:2/;/- containerPort: 80/{N;d};/^ *ports:$/d"
    pulled_kubectl.environment["KUBE_EDITOR"] = f"sed -i -e '{removed}'"
    pulled_kubectl("edit", "deployment/web")
    container = pulled_kubectl.container("deployment/web")
    assert container["image"] == "nginx:2"
    assert container["env"] == [{"name": "A", "value": "1"}]
    assert "ports" not in container


def deployment(**container: object) -> Object:
    """A Deployment of two containers, of which the first has these members."""
    containers = [{"name": "web", "image": "nginx:1", **container}, {"name": "log", "image": "log:1"}]
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": containers}}
    spec = {"selector": {"matchLabels": {"app": "web"}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}


def apply(kubectl: PulledKubectl, manifest: Object, *flags: str) -> str:
    return kubectl("apply", "-f", "-", *flags, stdin=yaml.safe_dump(manifest))


def test_a_client_side_apply_removes_what_it_applied_and_keeps_what_others_added(pulled_kubectl: PulledKubectl) -> None:
    ports = [{"containerPort": 80}, {"containerPort": 81, "name": "admin"}]
    first = deployment(env=[{"name": "A", "value": "1"}, {"name": "B", "value": "2"}], ports=ports, args=["a", "b"])
    first["spec"]["template"]["spec"]["volumes"] = [{"name": "data", "emptyDir": {}}]
    apply(pulled_kubectl, first)
    assert "unchanged" in apply(pulled_kubectl, first)
    pulled_kubectl("set", "env", "deployment/web", "-c", "web", "OTHER=x")
    second = deployment(env=[{"name": "B", "value": "3"}], ports=ports[:1], args=["c"])
    second["spec"]["template"]["spec"]["volumes"] = [{"name": "data", "hostPath": {"path": "/data"}}]
    second["spec"]["template"]["spec"]["containers"].pop()
    apply(pulled_kubectl, second)
    spec = pulled_kubectl.read("deployment/web")["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert sorted(container["env"], key=lambda each: str(each["name"])) == [
        {"name": "B", "value": "3"},
        {"name": "OTHER", "value": "x"},
    ]
    assert (container["ports"], container["args"]) == ([{"containerPort": 80, "protocol": "TCP"}], ["c"])
    assert spec["volumes"] == [{"name": "data", "hostPath": {"path": "/data"}}]


def test_a_strategy_of_another_type_replaces_its_members(pulled_kubectl: PulledKubectl) -> None:
    manifest = deployment()
    manifest["spec"]["strategy"] = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "10%", "maxUnavailable": 0}}
    apply(pulled_kubectl, manifest)
    manifest["spec"]["strategy"] = {"type": "Recreate"}
    apply(pulled_kubectl, manifest)
    assert pulled_kubectl.read("deployment/web")["spec"]["strategy"] == {"type": "Recreate"}


def test_a_server_side_apply_owns_items_of_lists(pulled_kubectl: PulledKubectl) -> None:
    apply(pulled_kubectl, deployment(env=[{"name": "A", "value": "1"}]), "--server-side", "--field-manager=one")
    other = deployment(env=[{"name": "B", "value": "2"}])
    apply(pulled_kubectl, other, "--server-side", "--field-manager=two")
    assert [each["name"] for each in pulled_kubectl.container("deployment/web")["env"]] == ["A", "B"]
    conflict = pulled_kubectl.fails(
        "apply", "--server-side", "--field-manager=two", "-f", "-", stdin=yaml.safe_dump(deployment(image="nginx:2"))
    )
    assert 'conflict with "one"' in conflict
    assert '.spec.template.spec.containers[name="web"].image' in conflict


def test_diff_shows_what_apply_would_change(pulled_kubectl: PulledKubectl) -> None:
    apply(pulled_kubectl, deployment())
    assert pulled_kubectl("diff", "-f", "-", stdin=yaml.safe_dump(deployment())) == ""
    shown = pulled_kubectl.run("diff", "-f", "-", stdin=yaml.safe_dump(deployment(image="nginx:2")))
    assert shown.returncode == 1
    assert "-      - image: nginx:1" in shown.stdout
    assert "+      - image: nginx:2" in shown.stdout


def test_replace_stores_the_manifest(pulled_kubectl: PulledKubectl) -> None:
    pulled_kubectl.create_object(deployment(env=[{"name": "A", "value": "1"}]))
    pulled_kubectl("replace", "-f", "-", stdin=yaml.safe_dump(deployment(image="nginx:3")))
    assert pulled_kubectl.container("deployment/web") == {"name": "web", "image": "nginx:3", **DEFAULTS}
    before = pulled_kubectl.read("deployment/web")["metadata"]["uid"]
    pulled_kubectl("replace", "--force", "-f", "-", stdin=yaml.safe_dump(deployment()))
    assert pulled_kubectl.read("deployment/web")["metadata"]["uid"] != before


def test_wait_sees_fields_and_conditions(pulled_kubectl: PulledKubectl) -> None:
    pulled_kubectl.create_object(deployment())
    waiting = pulled_kubectl.start("wait", "--for=condition=Available", "deployment/web", WITH_PATIENCE)
    pulled_kubectl.set_status("deployment/web", conditions=[{"type": "Available", "status": "True"}])
    assert waiting.communicate()[0] == "deployment.apps/web condition met\n"
    pulled_kubectl(
        "wait", "--for=jsonpath={.spec.template.spec.containers[1].name}=log", "deployment/web", WITH_PATIENCE
    )


def test_a_delete_cascades_as_asked(pulled_kubectl: PulledKubectl) -> None:
    for name, cascade in (("kept", "orphan"), ("gone", "foreground"), ("later", "background")):
        pulled_kubectl("create", "deployment", name, "--image=nginx")
        metadata = pulled_kubectl.read("deployment", name)["metadata"]
        owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name, "uid": metadata["uid"]}
        manifest = deployment()
        manifest["kind"] = "ReplicaSet"
        manifest["metadata"] = {"name": name, "ownerReferences": [{**owner, "blockOwnerDeletion": True}]}
        pulled_kubectl.create_object(manifest)
        pulled_kubectl("delete", "deployment", name, f"--cascade={cascade}")
    pulled_kubectl.vanishes("replicaset", "gone")
    pulled_kubectl.vanishes("replicaset", "later")
    wait_until(lambda: "ownerReferences" not in pulled_kubectl.read("replicaset", "kept")["metadata"], "it is orphaned")


def test_explain_shows_the_fields_of_a_kind(pulled_kubectl: PulledKubectl) -> None:
    shown = pulled_kubectl("explain", "deployment.spec.template.spec.containers.ports")
    assert "GROUP:      apps" in shown
    assert "FIELD: ports <[]ContainerPort>" in shown or "FIELD: ports <[]Object>" in shown
    assert "containerPort\t<integer> -required-" in shown
    assert "replicas\t<integer>" in pulled_kubectl("explain", "deploy", "--recursive")


def test_short_names_and_categories_are_those_of_kubernetes(pulled_kubectl: PulledKubectl) -> None:
    pulled_kubectl("create", "deployment", "web", "--image=nginx")
    pulled_kubectl("create", "service", "clusterip", "web", "--tcp=80")
    found = pulled_kubectl("get", "all", "-o", "name").split()
    assert {"deployment.apps/web", "service/web"} <= set(found)
    assert pulled_kubectl("get", "deploy,svc", "-o", "jsonpath={.items[*].kind}") == "Deployment Service"
