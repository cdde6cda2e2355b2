"""GraphProto -> weights that are others turned: exporters fold the transpose of a tied weight into a second copy."""

from __future__ import annotations

import numpy as np
import onnx

_EMBEDDED = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE)


def tied_weights(graph: onnx.GraphProto) -> dict[str, str]:
    """Matrix of a product -> the embedding table whose transpose it is, where the file holds the numbers of both.

    The first and the last row decide: two tables of random numbers do not agree in them.
    """
    tables = {node.input[0] for node in graph.node if node.op_type == "Gather"}
    matrices = {node.input[1] for node in graph.node if node.op_type == "MatMul"}
    held = {t.name: t for t in graph.initializer if len(t.dims) == 2 and t.data_type in _EMBEDDED and t.raw_data}
    found = {}
    for name in matrices & held.keys():
        for table in sorted(tables & held.keys()):
            if list(held[name].dims) == list(held[table].dims)[::-1] and _is_transpose(held[name], held[table]):
                found[name] = table
                break
    return found


def _is_transpose(matrix: onnx.TensorProto, table: onnx.TensorProto) -> bool:
    if matrix.data_type != table.data_type or min(table.dims) < 2:
        return False
    dtype = onnx.helper.tensor_dtype_to_np_dtype(table.data_type)
    turned = np.frombuffer(matrix.raw_data, dtype).reshape(tuple(matrix.dims)).T
    rows = np.frombuffer(table.raw_data, dtype).reshape(tuple(table.dims))
    return all(np.array_equal(turned[i], rows[i]) and np.any(rows[i] != rows[i, 0]) for i in (0, -1))
