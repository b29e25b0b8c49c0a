"""Rows of many trials, typed and on disk: memory stays flat however many trials there are."""

import os
import tempfile
import weakref
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import pyarrow as pa

TRIALS_AT_A_TIME = 100


class SpoolError(RuntimeError):
    """The temporary folder can't be written: no fault of any trial's."""


class Spool:
    """Keeps each trial's rows of several tables in one unnamed file, which goes when this object does."""

    def __init__(self, schemas: Mapping[str, pa.Schema]) -> None:
        self._schemas = dict(schemas)
        try:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115
        except OSError as error:
            raise SpoolError(f"there is no temporary folder to write to: {error.strerror}") from error
        weakref.finalize(self, self._file.close)
        self._places: dict[str, dict[str, tuple[int, int]]] = {}  # trial, table -> offset, bytes

    def __contains__(self, trial_id: str) -> bool:
        return trial_id in self._places

    def put(self, trial_id: str, rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        """Keep a trial's rows, in place of those it may have had; missing values become null.

        Raises:
            ValueError, TypeError: a value is not of its column's type; then nothing is kept.
            SpoolError: the temporary folder can't be written (any more).
        """
        batches = {table: _batch(schema, rows[table]) for table, schema in self._schemas.items()}
        places = {}
        try:
            for table, batch in batches.items():
                content = batch.serialize()
                places[table] = (self._file.seek(0, 2), len(content))
                self._file.write(content)
            self._file.flush()
        except OSError as error:  # not one of the trial's own
            raise SpoolError(f"{tempfile.gettempdir()} can't be written: {error.strerror}") from error
        self._places[trial_id] = places

    def get(self, trial_id: str, table: str) -> pa.RecordBatch:
        """A trial's rows of one table; KeyError for an unknown trial."""
        offset, size = self._places[trial_id][table]
        content = os.pread(self._file.fileno(), size, offset)  # whatever another thread reads meanwhile
        return pa.ipc.read_record_batch(pa.py_buffer(content), self._schemas[table])

    def tables(self, table: str) -> Iterator[pa.Table]:
        """All rows of one table in order of trial id, a hundred trials at a time."""
        ids = iter(sorted(self._places))
        while some := list(islice(ids, TRIALS_AT_A_TIME)):
            batches = [self.get(trial_id, table) for trial_id in some]
            yield pa.Table.from_batches(batches, self._schemas[table]).combine_chunks()


def _batch(schema: pa.Schema, rows: Sequence[Mapping[str, Any]]) -> pa.RecordBatch:
    structs = pa.array(rows, pa.struct(list(schema)), from_pandas=True)
    return pa.RecordBatch.from_struct_array(structs).replace_schema_metadata(schema.metadata)
