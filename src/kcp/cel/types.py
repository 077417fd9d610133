"""CEL types, and the types of schema data.

https://github.com/google/cel-spec/blob/master/doc/langdef.md#values
"""

from typing import Final

MAX_REQUEST_BYTES: Final = 3 * 1024 * 1024


class Type:
    """A CEL type: its kind, its name, and its type parameters.

    Kinds: dyn, error, null, bool, int, uint, double, string, bytes, timestamp, duration, list, map, type, opaque, object, param.
    An object type has the `schema` that declares its fields.
    """

    __slots__ = ("kind", "name", "parameters", "schema")

    def __init__(
        self, kind: str, name: str = "", parameters: "tuple[Type, ...]" = (), schema: "SchemaType | None" = None
    ):
        self.kind = kind
        self.name = name or kind
        self.parameters = parameters
        self.schema = schema

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, Type)
            and self.kind == other.kind
            and self.name == other.name
            and self.parameters == other.parameters
        )

    def __hash__(self) -> int:
        return hash((self.kind, self.name, self.parameters))

    def __str__(self) -> str:
        if not self.parameters:
            return self.name
        return f"{self.name}({', '.join(map(str, self.parameters))})"

    __repr__ = __str__


class SchemaType:
    """The type of the values of one schema node.

    Beside the CEL type it holds the JSON representation (`conversion`: a ``date-time`` is a string), the sizes for cost
    estimates (Kubernetes' DeclType: MaxElements, MinSerializedSize), the semantics of equality and ``+``
    (``x-kubernetes-list-type``), and the property name of each field.
    """

    __slots__ = (
        "conversion",
        "element",
        "fields",
        "list_keys",
        "list_type",
        "max_elements",
        "min_serialized_size",
        "nullable",
        "plain",
        "plain_equality",
        "type",
    )

    def __init__(self, type_: Type, *, min_serialized_size: int, max_elements: int = 0, conversion: str = "") -> None:
        self.type = type_
        self.min_serialized_size = min_serialized_size
        self.max_elements = max_elements
        self.conversion = conversion
        self.nullable = False
        self.element: SchemaType | None = None
        self.fields: dict[str, tuple[str, SchemaType]] = {}
        self.list_type = ""
        self.list_keys: tuple[str, ...] = ()
        # plain: the JSON data is the CEL value, at every depth.
        # plain_equality: two values are equal if and only if their JSON data is equal by ==.
        self.plain = conversion == ""
        self.plain_equality = conversion in {"", "double"}

    @property
    def cardinality(self) -> int:
        """How many values of the minimum size fit into one request (Kubernetes' MaxCardinality)."""
        return MAX_REQUEST_BYTES // (self.min_serialized_size + 1)


DYN: Final = Type("dyn")
ERROR: Final = Type("error", "!error!")
NULL: Final = Type("null")
BOOL: Final = Type("bool")
INT: Final = Type("int")
UINT: Final = Type("uint")
DOUBLE: Final = Type("double")
STRING: Final = Type("string")
BYTES: Final = Type("bytes")
TIMESTAMP: Final = Type("timestamp")
DURATION: Final = Type("duration")
URL: Final = Type("object", "kubernetes.URL")
QUANTITY: Final = Type("object", "kubernetes.Quantity")
SEMVER: Final = Type("object", "kubernetes.Semver")
NAMED_FORMAT: Final = Type("object", "kubernetes.NamedFormat")
IP: Final = Type("opaque", "net.IP")
CIDR: Final = Type("opaque", "net.CIDR")


def list_of(element: Type) -> Type:
    """``list(element)``."""
    return Type("list", parameters=(element,))


def map_of(key: Type, value: Type) -> Type:
    """``map(key, value)``."""
    return Type("map", parameters=(key, value))


def type_of(type_: Type) -> Type:
    """``type(type_)``: the type of a type."""
    return Type("type", parameters=(type_,))


def optional_of(type_: Type) -> Type:
    """``optional_type(type_)``."""
    return Type("opaque", "optional_type", (type_,))


def is_optional(type_: Type) -> bool:
    """Whether this is an optional type."""
    return type_.name == "optional_type"


# The type names that are identifiers in expressions.
NAMED: Final[dict[str, Type]] = {
    **{name: Type(name) for name in ("bool", "int", "uint", "double", "string", "bytes", "type")},
    "null_type": NULL,
    "list": list_of(DYN),
    "map": map_of(DYN, DYN),
    "optional_type": optional_of(DYN),
    "google.protobuf.Timestamp": TIMESTAMP,
    "google.protobuf.Duration": DURATION,
    "net.IP": IP,
    "net.CIDR": CIDR,
    "kubernetes.URL": URL,
    "kubernetes.Quantity": QUANTITY,
    "kubernetes.Semver": SEMVER,
}
