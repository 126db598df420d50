"""From intermediate representation to functions that ctypes can call, for the processor at hand.

Knows nothing of what the functions compute.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from llvmlite import binding, ir

_WIDEST: Final = (("avx512f", 16, 4), ("avx2", 8, 2), ("", 4, 4))
"""A feature of the processor, floats in one of its registers, and vectors of a tile's row that fit beside six rows."""
_HALF_FEATURES: Final = {"x86_64": "f16c", "i386": "f16c"}
"""What a processor needs to read half precision without a call for each number."""
_DOT_FEATURES: Final = {16: ("avx512vnni",), 8: ("avxvnni",)}
"""By the width of a register: any of these is enough for products of bytes."""
_BRAIN_FEATURES: Final = ("avx512bf16", "amx-bf16", "bf16")
"""Any of these is enough."""


@dataclass(frozen=True, slots=True)
class Processor:
    """What kernels need to know of it."""

    width: int
    """Floats in a register."""
    vectors: int
    """Of a tile: columns of six rows that registers hold at once."""
    halves: bool
    """Reads half precision by itself."""
    brain: bool = False
    """Multiplies bfloat16 by itself."""
    dots: bool = False
    """Adds products of bytes by itself."""


@cache
def processor() -> Processor:
    """The one at hand."""
    features = binding.get_host_cpu_features()
    _, width, vectors = next(row for row in _WIDEST if not row[0] or features.get(row[0]))
    needed = _HALF_FEATURES.get(binding.get_default_triple().partition("-")[0])
    halves = needed is None or bool(features.get(needed))
    brain, dots = (
        any(features.get(name) for name in names) for names in (_BRAIN_FEATURES, _DOT_FEATURES.get(width, ()))
    )
    return Processor(width, vectors, halves=halves, brain=brain, dots=dots)


@dataclass(frozen=True, slots=True, eq=False)
class Compiled:
    """Machine code; it lives as long as this object."""

    engine: Any

    def address(self, name: str) -> int:
        """Of a function."""
        return int(self.engine.get_function_address(name))


def compiled(module: ir.Module) -> Compiled:
    """Machine code of a module.

    Raises:
        RuntimeError: LLVM refuses the module.
    """
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    target = binding.Target.from_default_triple().create_target_machine(
        cpu=binding.get_host_cpu_name(), features=binding.get_host_cpu_features().flatten(), opt=3
    )
    module.triple, module.data_layout = binding.get_default_triple(), str(target.target_data)
    parsed = binding.parse_assembly(str(module))
    parsed.verify()
    tuning = binding.create_pipeline_tuning_options(speed_level=1)
    # Kernels are written in vectors and unrolled where it pays: more of it would only take time.
    tuning.loop_unrolling = tuning.loop_vectorization = tuning.slp_vectorization = False
    builder = binding.create_pass_builder(target, tuning)
    builder.getModulePassManager().run(parsed, builder)
    engine = binding.create_mcjit_compiler(parsed, target)
    engine.finalize_object()
    return Compiled(engine)
