"""threadpoolctl told of the worker threads here, so that its limits hold for them too.

threadpoolctl finds the libraries that are loaded by the names of their files, of kinds that were
registered with it. It is not imported for that: its import takes longer than the one of this
package. It is told when a program imports it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from fastnn import _core

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from types import ModuleType

_NAME = "threadpoolctl"
_MOST_THREADS = 256  # the limit of native code


def register() -> None:
    """Tells threadpoolctl of this library, now or at its first import."""
    module = sys.modules.get(_NAME)
    if module is not None:
        _tell(module)
    elif not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def _tell(threadpoolctl: Any) -> None:
    """Registers a controller; releases before 3.2 take none."""
    if not hasattr(threadpoolctl, "register"):
        return

    class Controller(threadpoolctl.LibController):  # type: ignore[misc]
        user_api = "fastnn"
        internal_api = "fastnn"
        filename_prefixes = (_core.__file__.rpartition("/")[2].partition(".")[0],)
        check_symbols = ("fastnn_get_num_threads",)

        def get_num_threads(self) -> int:
            return _core.num_threads()

        def set_num_threads(self, num_threads: int) -> None:
            _core.set_num_threads(max(1, min(int(num_threads), _MOST_THREADS)))

        def get_version(self) -> str:
            return str(_core.__version__)

    threadpoolctl.register(Controller)


class _Finder:
    """Finds threadpoolctl as the finders after it do, and has it told once it is loaded."""

    def find_spec(
        self, name: str, path: Any = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != _NAME:
            return None
        for finder in sys.meta_path:
            find = None if isinstance(finder, _Finder) else getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = None if find is None else find(name, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _Loader(spec.loader)  # type: ignore[assignment]
                return spec
        return None


class _Loader:
    """A loader of threadpoolctl that leaves the module as that which it wraps would."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        made: ModuleType | None = self._loader.create_module(spec)
        return made

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        sys.meta_path[:] = [each for each in sys.meta_path if not isinstance(each, _Finder)]
        _tell(module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)
