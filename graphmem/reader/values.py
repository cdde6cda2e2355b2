"""Value: what is known of a tensor's elements before the run, exactly or as an interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """Each element lies in low..high, ends included; both arrays have the tensor's shape and dtype."""

    low: Array
    high: Array

    @classmethod
    def exactly(cls, array: Array) -> Value:
        """A value of which every element is known."""
        return cls(array, array)

    @property
    def is_exact(self) -> bool:
        """True when every element is known."""
        return self.low is self.high or bool(np.array_equal(self.low, self.high))
