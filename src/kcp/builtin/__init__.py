"""The built-in types. One type is one folder, ``types/<group>/<plural>/``, and is found by listing the folders.

* ``type.yaml``: the declaration, in the shape of a CustomResourceDefinition manifest (apiextensions.k8s.io/v1), so that
  built-in and custom resources are one table of types. A second YAML document in the file declares the messages of the
  type's protobuf form (the notation is that of `kcp.api.protobuf.messages`); without it the type has none. They also say which
  fields are left out of an object where they are empty (`kcp.api.protobuf.canonical_form`).
* ``__init__.py``: the strategy, a subclass of `kcp.builtin.strategy.BuiltinStrategy` that is named ``<Kind>Strategy``.
  Without this file the type has no rules beyond its schema. What a strategy needs of the server is in its
  `kcp.builtin.context.BuiltinContext`.

A group's folder has the group's name up to its first dot (``core`` for the group without a name). Its ``group.yaml`` says what
belongs to the group: its name; its ``priority`` in discovery; the Go ``package`` in the names of its OpenAPI definitions
where it does not follow from the group's name; and, in a second document, the protobuf messages that several kinds share.
``kinds`` (by version) names those messages that are kinds without a folder, such as subresources. A group without this file has
the priority of the groups of custom resources.

``messages.json`` in a group's folder declares, by version, the kinds of the group that are served where a CRD defines them
(Deployments, Pods ...), and the messages that they need beside the group's others: Kubernetes' clients send them as protobuf.
A folder of one of these kinds has no messages of its own. The file is JSON because it is large, and read on the event loop
when the first protobuf body comes.

``rules/`` holds what the strategies of several groups share; what those of one group share is a module of the group's
folder.

Beyond what a CustomResourceDefinition can say, a declaration may contain, inside schemas:

* ``$ref: "#/$defs/Name"``: a schema of the schema's own ``$defs`` or of ``types/schemas.yaml``;
* ``x-kubernetes-patch-strategy`` and ``x-kubernetes-patch-merge-key``, for strategic merge patches;

and beside ``spec``, under ``x-kcp``:

* ``verbs``: the verbs of the resource, where it does not have all eight;
* ``subresources``: subresources other than status and scale, each with its ``verbs``, and with ``group``, ``version`` and
  ``kind`` of the object that clients send where that is not the parent's kind;
* ``storage``: the resource to share storage with; empty for a type that is answered and never stored (reviews);
* ``placeholder``: the type is an empty list, so that clients that list it unasked find one. Nothing can be written: the
  text is the error message. A CustomResourceDefinition may take the type's names, and is then served in its place.

In a built-in type a column of format ``name`` is the name column; no other is then put first.
"""
