"""Two methods at once, where the papers combine them: ``repnet+mask``, ``mobiletl+lite``."""

import dataclasses
import typing
from typing import Any, cast

from torch import nn

from edgewise.adapt.base import Grade, Method, Parts, Site


def combined(name: str, first: type[Method], second: type[Method], summary: str, grade: Grade) -> type[Method]:
    """A method that applies ``first``, then ``second``, to the same network.

    Its settings are those of both; one that both have (``lr``, ``blocks``) has the first's default and
    goes to both.  A parameter that both would train trains as the first says.
    """
    kinds = (first, second)
    settings: dict[str, tuple[str, Any, Any]] = {}
    for kind in kinds:
        hints = typing.get_type_hints(kind)
        for field in dataclasses.fields(kind):  # type: ignore[arg-type]
            fresh = dataclasses.field(default=field.default, metadata=field.metadata)
            settings.setdefault(field.name, (field.name, hints[field.name], fresh))

    def members(self: Any) -> list[Method]:
        return [
            kind(**{field.name: getattr(self, field.name) for field in dataclasses.fields(kind)})  # type: ignore[arg-type]
            for kind in kinds
        ]

    def apply(self: Any, site: Site) -> Parts:
        one, other = (member.apply(site) for member in members(self))
        return _together(one, other)

    namespace = {
        "name": name,
        "title": f"{first.title} + {second.title[0].lower()}{second.title[1:]}",
        "grade": grade,
        "starts_unchanged": first.starts_unchanged and second.starts_unchanged,
        "merges": first.merges and second.merges,
        "apply": apply,
        "__post_init__": members,  # each member checks its own settings
        "__doc__": summary,
        "__module__": __name__,
    }
    made = dataclasses.make_dataclass(
        f"{first.__name__}{second.__name__}", settings.values(), namespace=namespace, frozen=True
    )
    return cast(type[Method], made)


def _together(one: Parts, other: Parts) -> Parts:
    taken = {*one.main, *one.side, *(name for group in one.groups.values() for name in group.names)}
    added = [part for part in (one.added, other.added) if part is not None]
    return Parts(
        one.main + tuple(name for name in other.main if name not in taken),
        one.side + tuple(name for name in other.side if name not in taken),
        tuple(dict.fromkeys(one.awake + other.awake)),
        nn.ModuleList(added) if len(added) > 1 else next(iter(added), None),
        {**other.groups, **one.groups},
    )
