"""Rename: move what the catalog has of a dataset besides its rows to another name, in the same transaction."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection, Row, Table, insert, literal, select, update

from ticklake.catalog import schema
from ticklake.catalog.dataset_names import move_notes
from ticklake.core.dataset import Dataset
from ticklake.core.jobs import ACTIVE
from ticklake.core.rename import names_dataset, rename_in_parameters
from ticklake.errors import BadInput

__all__ = ["carry_over"]

_ACTIVE = [state.value for state in ACTIVE]
_BY_NAME = (schema.wanted.c.dataset, schema.unclosable.c.dataset, schema.alerts.c.subject)
_BY_NUMBER = (schema.batches, schema.quarantine, schema.revisions)


def carry_over(connection: Connection, before: Row[Any], after: Row[Any], version: int) -> None:
    """In commit *version*, move notes, batches, refused rows, revisions, alerts and schedules from one dataset to another.

    Raises
    ------
    BadInput
        If a job or a schedule that cannot be moved names the old one.
    """
    old, new = Dataset.parse(before.name), Dataset.parse(after.name)
    _refuse_active_jobs(connection, old)
    _move_schedules(connection, old, new)
    for column in _BY_NAME:
        move_notes(connection, column, str(old), str(new))
    for table in _BY_NUMBER:
        _copy(connection, table, before.id, after.id, version)
    # The next batch is joined to the newest row by its id.
    newest = {"last_id": before.last_id}
    connection.execute(update(schema.datasets).where(schema.datasets.c.id == after.id).values(newest))


def _copy(connection: Connection, table: Table, old_id: int, new_id: int, version: int) -> None:
    """Copy the rows of a dataset; older versions keep those that are there.

    Copies of refused rows and revisions belong to the commit that renames, or the new name would exist in versions before
    it; they keep their times. Copies of batches keep their commit, which is part of their key.
    """
    given: dict[str, int] = {"dataset_id": new_id}
    if table is not schema.batches:
        given["commit_id"] = version
    columns = [column for column in table.c if column.name not in {"id", "row_check", *given}]
    rows = select(*map(literal, given.values()), *columns).where(table.c.dataset_id == old_id)
    names = [*given, *(column.name for column in columns)]
    connection.execute(insert(table).from_select(names, rows, include_defaults=False))


def _refuse_active_jobs(connection: Connection, old: Dataset) -> None:
    table = schema.jobs
    query = select(table.c.id, table.c.operation, table.c.state, table.c.dataset, table.c.parameters)
    for job in connection.execute(query.where(table.c.state.in_(_ACTIVE)).order_by(table.c.id)):
        if job.dataset == str(old) or names_dataset(json.loads(job.parameters), old):
            raise BadInput(
                f"job {job.id} ({job.operation}, {job.state}) works on {old}: "
                f"let it end, or 'ticklake jobs cancel {job.id}', and rename then"
            )
    holder = select(schema.leases.c.job_id).where(schema.leases.c.name == str(old))
    running = select(table.c.id).where(table.c.id.in_(holder), table.c.state.in_(_ACTIVE))
    number = connection.execute(running).scalar()
    if number is not None:
        raise BadInput(f"job {number} works on {old}: let it end, or 'ticklake jobs cancel {number}', and rename then")


def _move_schedules(connection: Connection, old: Dataset, new: Dataset) -> None:
    table = schema.schedules
    rows = connection.execute(select(table.c.name, table.c.managed, table.c.parameters).order_by(table.c.name)).all()
    for row in rows:
        parameters = json.loads(row.parameters)
        if not names_dataset(parameters, old):
            continue
        if row.managed:
            raise BadInput(
                f"the schedule {row.name!r} names {old} and comes from a file: take it out of that file and 'ticklake "
                f"apply' it, rename, and write {new} into the file then"
            )
        try:
            moved = rename_in_parameters(parameters, old, new)
        except BadInput as error:
            raise BadInput(
                f"the schedule {row.name!r} names {old} and cannot follow: {error}; add it anew without {old} "
                f"('ticklake schedule add {row.name} ...'), and rename then"
            ) from error
        text = json.dumps(moved, ensure_ascii=False)
        connection.execute(update(table).where(table.c.name == row.name).values(parameters=text))
