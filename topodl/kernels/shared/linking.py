"""How a kernel and what it is made of become machine code: every part is optimised once, inside the kernel.

Numba optimises and emits each function as soon as it is lowered, and again in everything that calls it: the
deepest as many times as there are calls above it. Here parts stay as they were lowered until they are linked.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from numba import _dynfunc
from numba.core import codegen, compiler, typed_passes
from numba.core.compiler_machinery import PassManager, register_pass

__all__ = ["KernelCompiler", "PartCompiler"]


class _LateLibrary(codegen.JITCodeLibrary):
    """Code that waits for the one optimisation of everything in a kernel."""

    def add_llvm_module(self, ll_module: Any) -> None:
        """Add code as it is."""
        self._final_module.link_in(ll_module)


class _PartLibrary(_LateLibrary):
    """The code of one part, never optimised or emitted by itself, without that of the parts that it calls."""

    def finalize(self) -> None:
        """Let others link this code."""
        self._raise_if_finalized()
        self._finalize_dynamic_globals()
        self._finalized = True


class _KernelLibrary(_LateLibrary):
    """The code of a kernel, which takes in all of its parts."""

    def finalize(self) -> None:
        """Link all parts, optimise everything together, emit it."""
        self._linking_libraries = list(_callers_first(self))[1:]
        super().finalize()


def _callers_first(library: Any) -> Iterator[Any]:
    """Yield a library and all that it needs, each before what it needs: linkers take what is asked for."""
    finished: list[Any] = []
    seen: set[Any] = set()

    def visit(current: Any) -> None:
        seen.add(current)
        is_open = isinstance(current, _PartLibrary) or current is library
        for needed in current._linking_libraries if is_open else ():  # others hold all that they need
            if needed not in seen:
                visit(needed)
        finished.append(current)

    visit(library)
    return reversed(finished)


@register_pass(mutates_CFG=True, analysis_only=False)
class _KernelLowering(typed_passes.NativeLowering):
    _name = "topodl_kernel_lowering"

    def run_pass(self, state: Any) -> bool:
        """Lower into a library that optimises a kernel with its parts."""
        state.library = _KernelLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        state.library.enable_object_caching()
        changed: bool = super().run_pass(state)
        return changed


@register_pass(mutates_CFG=True, analysis_only=False)
class _PartLowering(typed_passes.NativeLowering):
    _name = "topodl_part_lowering"

    def run_pass(self, state: Any) -> bool:
        """Lower into a library that kernels link, and let other functions call the part by its name."""
        state.library = _PartLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        state.flags.no_compile = True
        changed: bool = super().run_pass(state)
        lowered = state.cr
        name = lowered.fndesc.qualname.split(".")[-1]
        no_machine_code = 0
        handle = _dynfunc.make_function(
            lowered.fndesc.lookup_module(), name, "", no_machine_code, lowered.env, (state.library,)
        )
        state.targetctx.insert_user_function(handle, lowered.fndesc, [state.library])
        state.cr = lowered._replace(cfunc=handle)
        return changed


class KernelCompiler(compiler.CompilerBase):
    """Numba's compiler of what Python calls, which optimises it once, with all of its parts."""

    _lowering: Any = _KernelLowering

    def define_pipelines(self) -> list[PassManager]:
        """Return Numba's passes with the lowering replaced."""
        passes = compiler.DefaultPassBuilder.define_nopython_pipeline(self.state)
        at = [taken for taken, _ in passes.passes].index(typed_passes.NativeLowering)
        passes.passes[at] = (self._lowering, passes.passes[at][1])
        passes.finalize()
        return [passes]


class PartCompiler(KernelCompiler):
    """Numba's compiler of what kernels alone call: it is lowered, and optimised with the kernel."""

    _lowering = _PartLowering
