"""The optional compiled kernels; all else about the package stands in pyproject.toml.

A kernel is one C file of the limited API (one wheel serves every Python from 3.10 on) beside the pure-Python module of
the same results. `optional` lets an installation without a compiler succeed, with the pure kernel. A line adds another.
"""

from setuptools import Extension, setup

KERNELS = ["graphmem.planner._kernel", "graphmem.checkpoint._kernel"]

setup(
    ext_modules=[
        Extension(
            name,
            [name.replace(".", "/") + ".c"],
            define_macros=[("Py_LIMITED_API", "0x030A0000")],
            py_limited_api=True,
            optional=True,
        )
        for name in KERNELS
    ],
    options={"bdist_wheel": {"py_limited_api": "cp310"}},
)
