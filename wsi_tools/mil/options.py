"""Checks of what a user may set, shared by the models' constructors."""

from collections.abc import Sequence

from wsi_tools.errors import InputError

__all__ = ["require_choice", "require_divisible"]


def require_choice(name: str, value: str, known: Sequence[str]) -> str:
    """Return `value` if it is one of `known`, else raise `InputError` naming them."""
    if value not in known:
        raise InputError(f"{name}={value!r} is not known; choose from {', '.join(known)}")
    return value


def require_divisible(what: str, width: int, parts: int) -> int:
    """Return ``width // parts``, or raise `InputError` if the division leaves a remainder."""
    if parts < 1 or width % parts:
        raise InputError(f"{what}: a width of {width} does not divide into {parts} equal parts")
    return width // parts
