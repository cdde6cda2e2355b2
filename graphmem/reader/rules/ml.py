"""ai.onnx.ml: classical models, for most of which ONNX infers no shape.

An input of one dimension is one sample. Source: onnx/docs/Operators-ml.md; compared with onnxruntime in
tests/oracle/test_contrib.py.
"""

from __future__ import annotations

from math import prod

from graphmem.ir.types import MapType, SequenceType, TensorType, Type
from graphmem.reader.rules.call import Call, OpenError, Rule, Table
from graphmem.reader.rules.sequences import MAX_ELEMENTS


def _samples(call: Call) -> int:
    shape = call.shape(0)
    if len(shape) not in (1, 2):
        raise OpenError("rank")
    return shape[0] if len(shape) == 2 else 1


def _float_like(call: Call) -> list[Type]:
    return [TensorType("float32", call.shape(0))]


def _regressor(name: str) -> Rule:
    """(samples, number of targets), which is 1 unless the attribute says otherwise."""

    def rule(call: Call) -> list[Type]:
        return [TensorType("float32", (_samples(call), call.int_(name, 1) if name else 1))]

    return rule


def _labels(call: Call) -> tuple[str, int]:
    texts = call.attributes.get("classlabels_strings") or ()
    numbers = call.attributes.get("classlabels_int64s") or call.attributes.get("classlabels_ints") or ()
    if not texts and not numbers:
        raise OpenError("class labels")
    return ("string", len(texts)) if texts else ("int64", len(numbers))


def _classifier(call: Call) -> list[Type]:
    """A label and a score for each class, for each sample; in onnxruntime 1.32 also where there is one class."""
    dtype, classes = _labels(call)
    return [TensorType(dtype, (_samples(call),)), TensorType("float32", (_samples(call), classes))]


def _feature_vectorizer(call: Call) -> list[Type]:
    return [TensorType("float32", (_samples(call), sum(call.ints("inputdimensions"))))]


def _zip_map(call: Call) -> list[Type]:
    """A map from label to score for each sample: a list of dictionaries, no tensor."""
    dtype, classes = _labels(call)
    element = MapType(dtype, call.dtype(0), classes)
    samples = _samples(call)
    return [SequenceType(element, (element,) * samples if samples <= MAX_ELEMENTS else None)]


def _imputer(call: Call) -> list[Type]:
    return [call.tensor(0)]


def _extractor(call: Call) -> list[Type]:
    """The columns picked; a vector is one row of them."""
    shape, picked = call.shape(0), call.shape(1)
    return [TensorType(call.dtype(0), (*(shape[:-1] or (1,)), prod(picked)))]


GAPS: Table = {
    "ArrayFeatureExtractor": _extractor,
    "FeatureVectorizer": _feature_vectorizer,
    "Imputer": _imputer,
    "LinearClassifier": _classifier,
    "LinearRegressor": _regressor("targets"),
    "Normalizer": _float_like,
    "SVMClassifier": _classifier,
    "SVMRegressor": _regressor(""),
    "Scaler": _float_like,
    "TreeEnsembleClassifier": _classifier,
    "TreeEnsembleRegressor": _regressor("n_targets"),
    "ZipMap": _zip_map,
}


def words(call: Call) -> list[Type]:
    """WordConvEmbedding: words (..., S, letters) -> (..., S, filters)."""
    return [TensorType(call.dtype(1), (*call.shape(0)[:-1], call.shape(1)[0]))]


def ngrams(call: Call) -> list[Type]:
    """Hashes of the n-grams of token ids."""
    n, heads = call.int_("max_ngram_size"), call.int_("n_head_per_ngram")
    batch = call.shape(0, 2)[0]
    return [
        TensorType(call.dtype(0), (*call.shape(0), (n - 1) * heads)),
        TensorType(call.dtype(0), (batch, n - 1)),
    ]
