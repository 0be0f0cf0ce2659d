"""A catalog that somebody else writes for long keeps nobody from reading."""

from __future__ import annotations

import sqlite3
import threading
import time

from ticklake.app import open_lake

ROWS = [{"ts": "2024-01-01T00:00:00Z", "price": 1.5, "amount": 2.0, "id": "1"}]
TRADES = "x:trades:A/USDT"


def test_writes_that_wait_for_their_turn_keep_no_read_waiting(tmp_path, serve):
    with open_lake(tmp_path / "lake") as lake:
        lake.save(TRADES, ROWS)
        client = serve(lake)
        client.get("/datasets")
        other = sqlite3.connect(tmp_path / "lake" / "catalog.db", isolation_level=None)
        other.execute("begin immediate")
        answers = []

        def save(number):
            rows = [{**ROWS[0], "id": str(number), "ts": f"2024-01-01T00:00:{number:02}Z"}]
            answers.append(client.post(f"/datasets/{TRADES}/rows", json=rows).status_code)

        writers = [threading.Thread(target=save, args=(number,)) for number in range(1, 13)]
        for writer in writers:
            writer.start()
        time.sleep(0.3)
        began = time.monotonic()
        read = [client.get(path).status_code for path in ("/datasets", f"/datasets/{TRADES}/rows", "/jobs", "/stats")]
        seconds = time.monotonic() - began
        other.execute("rollback")
        other.close()
        for writer in writers:
            writer.join()
        assert (read, answers) == ([200] * 4, [200] * 12)
        assert seconds < 3
