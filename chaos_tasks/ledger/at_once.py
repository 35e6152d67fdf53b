"""An append as one procedure of PostgreSQL: what writers wait for in turn is its work alone, no round trip and no disk.

Its first transaction commits without waiting for the disk, and so lets the next writer in.  The caller is told after a
second, empty one only, which waits as every other commit does, and so for all that was committed before it.  Writers
who wait at the same time share one flush.  What it does not take (a key that is known, a run that was taken over, a
damaged head) it leaves to the transaction of many statements, which says what is the matter.
"""

from __future__ import annotations

# A procedure is never changed, only followed by one of another name: old and new Squalls share a ledger.
NAME = "squall_append_1"
WRITER_LOCK = 7_245_001  # any number, the same in every process
FLUSH = "pg_logical_emit_message(true, 'squall', '')"
"""Writes what nobody reads, so that there is something to commit."""

CREATE = f"""
CREATE PROCEDURE {NAME}(
    key TEXT, run TEXT, what TEXT, moment TEXT, leaf BYTEA, head BYTEA, salt_ BYTEA, body BYTEA, actor INTEGER,
    INOUT written BIGINT)
LANGUAGE plpgsql AS $$
DECLARE
    n BIGINT; edge BYTEA; rest BIGINT; level_ INTEGER := 0; node BYTEA := leaf;
BEGIN
    PERFORM pg_advisory_xact_lock({WRITER_LOCK});
    PERFORM set_config('synchronous_commit', 'off', true);
    SELECT size, frontier INTO n, edge FROM squall_head WHERE id = 1;
    IF length(edge) = 32 * length(replace(n::bit(64)::text, '0', ''))
        AND NOT EXISTS (SELECT FROM squall_record WHERE idem_key = key)
        AND (actor = 0 OR NOT EXISTS (SELECT FROM squall_actor WHERE run_id = run AND incarnation > actor))
    THEN
        INSERT INTO squall_record (seq, idem_key, run_id, kind, occurred_at, leaf_hash, header, salt, payload)
            VALUES (n, key, run, what, moment, leaf, head, salt_, body);
        rest := n;
        WHILE rest & 1 = 1 LOOP
            node := sha256('\\x01'::bytea || substring(edge FROM length(edge) - 31) || node);
            edge := substring(edge FOR length(edge) - 32);
            rest := rest >> 1;
            level_ := level_ + 1;
            INSERT INTO squall_node (level, idx, hash) VALUES (level_, rest, node);
        END LOOP;
        UPDATE squall_head SET size = n + 1, frontier = edge || node WHERE id = 1;
        written := n;
    END IF;
    COMMIT;
    PERFORM {FLUSH};
END $$
"""
CALL = f"CALL {NAME}({', '.join(('?',) * 9)}, NULL)"
