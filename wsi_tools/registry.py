"""A name the user types, and the object it stands for, imported when asked for."""

import difflib
from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from wsi_tools.errors import InputError


class Registry(Mapping[str, Any]):
    """A read-only mapping from name to object, over built-ins and plug-ins alike.

    Both are written ``"module:attribute"``; listing the names imports nothing. A plug-in is an
    entry point in the group, and may not take a built-in's name.
    """

    def __init__(self, group: str, builtins: Mapping[str, str]) -> None:
        self.group = group
        self._builtins = dict(builtins)

    @cached_property
    def _plugins(self) -> dict[str, EntryPoint]:
        found = {point.name: point for point in entry_points(group=self.group)}
        if taken := sorted(found.keys() & self._builtins.keys()):
            owner = found[taken[0]].value
            raise InputError(
                f"{owner}: the name {taken[0]!r} is built in; rename the plug-in in [{self.group}]"
            )
        return found

    def __getitem__(self, name: str) -> Any:
        if name in self._builtins:
            module, _, attribute = self._builtins[name].partition(":")
            return getattr(import_module(module), attribute)
        if name in self._plugins:
            return self._plugins[name].load()
        raise InputError(f"{name!r} is not known here; {self._hint(name)}")

    def __contains__(self, name: object) -> bool:
        return name in self._builtins or name in self._plugins

    def __iter__(self) -> Iterator[str]:
        yield from self._builtins
        yield from self._plugins

    def __len__(self) -> int:
        return len(self._builtins) + len(self._plugins)

    def _hint(self, name: str) -> str:
        if close := difflib.get_close_matches(name, list(self), n=1):
            return f"did you mean {close[0]!r}?"
        return f"choose from {', '.join(self)}"
