"""Where rows came from: each origin has a number, which stands in every row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import select

from ticklake.catalog import schema
from ticklake.catalog.checksums import rows_of
from ticklake.catalog.database import Database
from ticklake.core.provenance import Provenance

__all__ = ["Origins"]

_PROVENANCES = rows_of(schema.provenance)


class Origins:
    """The part of the catalog that numbers the origins of rows."""

    database: Database
    _provenance: dict[Provenance, int]

    def provenance_id(self, origin: Provenance) -> int:
        """Return the number of *origin*, which is assigned on first use."""
        number = self._provenance.get(origin)
        if number is not None:
            return number
        query = select(schema.provenance.c.id).filter_by(**origin.to_dict())
        with self.database.write() as connection:
            # Looked up under the write lock: two processes would give one origin two numbers.
            number = connection.execute(query).scalar()
            if number is None:
                inserted = connection.execute(schema.provenance.insert().values(**origin.to_dict()))
                number = inserted.inserted_primary_key[0]  # type: ignore[index]
        self._provenance[origin] = int(number)
        return int(number)

    def provenances(self) -> dict[int, Provenance]:
        """Return every origin by its number."""
        with self.database.read() as connection:
            rows = connection.execute(_PROVENANCES).all()
        origins: dict[int, Provenance] = {}
        for row in rows:
            values = dict(row._mapping)
            number = values.pop("id")
            origins[number] = Provenance(**values)
        return origins

    def restore_provenance(self, origins: Mapping[int, Provenance]) -> None:
        """Write origins under the numbers that rows in files have for them; used when the catalog is rebuilt.

        If an origin has another number by now, its note tells the two apart.
        """
        known = self.provenances()
        taken = set(known.values())
        new: list[dict[str, Any]] = []
        for number, origin in origins.items():
            if number in known:
                continue
            note = origin.note
            if origin in taken:
                note = f"{note} [{number}]".strip()
            new.append({"id": number, **replace(origin, note=note).to_dict()})
        if new:
            with self.database.write() as connection:
                connection.execute(schema.provenance.insert(), new)
