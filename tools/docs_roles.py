"""For the documentation site: write the Sphinx roles of docstrings (``:meth:`gaps```) as plain code."""

from __future__ import annotations

import re
from typing import Any

import griffe

_ROLE = re.compile(r":(?:attr|class|data|func|meth|mod):`~?([\w.]+)`")


class PlainRoles(griffe.Extension):
    """Replace every role by the last part of the name that it links to."""

    def on_object(self, *, obj: griffe.Object, **_context: Any) -> None:
        """Rewrite the docstring of one object."""
        if obj.docstring is not None:
            obj.docstring.value = _ROLE.sub(lambda role: f"`{role[1].rpartition('.')[2]}`", obj.docstring.value)
