"""Manifests of the kubectl tests."""

GADGETS = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: gadgets.shop.example.com
spec:
  group: shop.example.com
  scope: Namespaced
  names: {plural: gadgets, singular: gadget, kind: Gadget, shortNames: [gd], categories: [all, shop]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources:
      status: {}
      scale: {specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas, labelSelectorPath: .status.selector}
    selectableFields:
    - jsonPath: .spec.color
    additionalPrinterColumns:
    - {name: Color, type: string, jsonPath: .spec.color}
    - {name: Replicas, type: integer, jsonPath: .spec.replicas}
    - {name: Note, type: string, jsonPath: .spec.note, priority: 1}
    - {name: Age, type: date, jsonPath: .metadata.creationTimestamp}
    schema:
      openAPIV3Schema:
        type: object
        description: A gadget is a thing that a shop sells.
        properties:
          spec:
            type: object
            description: What is wanted of the gadget.
            required: [color]
            properties:
              color: {type: string, enum: [red, green, blue], description: The colour of the case.}
              replicas: {type: integer, minimum: 0, default: 1, description: How many there are.}
              note: {type: string, maxLength: 100}
              ports:
                type: array
                description: Where it listens.
                x-kubernetes-list-type: map
                x-kubernetes-list-map-keys: [name]
                items:
                  type: object
                  required: [name]
                  properties:
                    name: {type: string}
                    number: {type: integer}
            x-kubernetes-validations:
            - rule: "self.color != 'blue' || self.replicas < 10"
              message: there are no ten blue ones
          status:
            type: object
            properties:
              replicas: {type: integer}
              selector: {type: string}
              conditions:
                type: array
                items:
                  type: object
                  required: [type, status]
                  properties:
                    type: {type: string}
                    status: {type: string}
"""

SERVICES = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: services.core}
spec:
  group: ""
  scope: Namespaced
  names: {plural: services, singular: service, kind: Service, shortNames: [svc]}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec: {type: object, x-kubernetes-preserve-unknown-fields: true}
"""

DNS = """
apiVersion: v1
kind: Service
metadata:
  name: dns
  namespace: kube-system
  labels: {kubernetes.io/cluster-service: "true"}
spec:
  ports:
  - {name: dns, port: 53}
"""

GADGET = """
apiVersion: shop.example.com/v1
kind: Gadget
metadata:
  name: {name}
  labels: {{app: demo}}
spec:
  color: {color}
  ports:
  - {{name: web, number: 80}}
"""

CONFIG = """
apiVersion: v1
kind: ConfigMap
metadata:
  name: {name}
  labels: {{app: demo}}
data:
  key: {value}
"""


def gadget(name: str, color: str = "red") -> str:
    """A gadget's manifest."""
    return GADGET.format(name=name, color=color)


def config(name: str, value: str = "one") -> str:
    """A ConfigMap's manifest."""
    return CONFIG.format(name=name, value=value)
