"""Computed printer columns: what no JSONPath expresses, declared by an annotation of a CustomResourceDefinition.

``additionalPrinterColumns`` select one value of an object (apiextensions.k8s.io/v1). The columns of Kubernetes' own kinds combine
several: READY ``3/5``, PORTS ``80/TCP,443:30001/TCP``. The annotation ``kcp.io/printer-columns`` declares such columns as CEL
expressions; servers that do not know it show ``additionalPrinterColumns``. docs/printer-columns.md describes it for users.
"""

from kcp.schema.printer_columns.declarations import ANNOTATION, annotation_of, encode, version_entries
from kcp.schema.printer_columns.rows import ComputedColumns, computed_columns

__all__ = ["ANNOTATION", "ComputedColumns", "annotation_of", "computed_columns", "encode", "version_entries"]
