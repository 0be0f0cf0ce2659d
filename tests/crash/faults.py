"""Ways to break a lake on purpose: the checks must find each of them."""

import os
import stat
from functools import partial

import sqlalchemy
from sqlalchemy import event

from ticklake.catalog.prepared import PreparedChange
from ticklake.lake import Lake


def install(name):
    """Break this process; return whether it acknowledges before it has done the work."""
    if name is not None:
        _FAULTS[name]()
    return name == "acknowledges early"


def _skip_writes():
    os.write, real = (lambda descriptor, data: len(data) if len(data) > 4096 else real(descriptor, data)), os.write


def _skip_fsync(of_files):
    real = os.fsync

    def fsync(descriptor):
        if stat.S_ISREG(os.fstat(descriptor).st_mode) != of_files:
            real(descriptor)

    os.fsync = os.fdatasync = fsync


def _commit_each_statement():
    real = PreparedChange.execute

    def commit(driver):
        driver.commit()
        driver.execute("BEGIN IMMEDIATE")

    def after(_connection, cursor, text, *_):
        if text.split(None, 1)[0].upper() in {"INSERT", "UPDATE", "DELETE"}:
            commit(cursor.connection)

    def execute(change, connection, rows):
        real(change, connection, rows)
        commit(connection.connection.driver_connection)

    event.listen(sqlalchemy.Engine, "after_cursor_execute", after)
    PreparedChange.execute = execute


def _save_twice():
    real = Lake.save

    def save(lake, dataset, frame):
        real(lake, dataset, frame.with_columns(ts=frame["ts"].dt.offset_by("1ns")))
        return real(lake, dataset, frame)

    Lake.save = save


def _lose_a_row():
    real = Lake.save
    Lake.save = lambda lake, dataset, frame: real(lake, dataset, frame.head(frame.height - 1))


_FAULTS = {
    "acknowledges early": lambda: None,
    "skips writes": _skip_writes,
    "skips fsync of files": partial(_skip_fsync, of_files=True),
    "skips fsync of folders": partial(_skip_fsync, of_files=False),
    "commits each statement": _commit_each_statement,
    "adds rows nobody sent": _save_twice,
    "loses a row": _lose_a_row,
}
