"""A person's rows by the thousand, written by the database itself: what lists are measured and tested on."""

from __future__ import annotations

import dataclasses
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, LiteralString

from django.db import connection

from chat.postgres_connection import unhurried

MANY, FEW, NONE = "river", "needle", "absent"
WAITING = 3

# `n` counts from 1. Talk n is thread n: one question, one answer, one run; every second one is about a river, the last
# three have a needle in their text, and the three written in longest ago are put away, or are the only ones that are
# not.
_TALKS: LiteralString = """
    WITH made AS (
        INSERT INTO chat_thread (id, user_id, title, title_origin, created_at, updated_at, archived_at)
        SELECT gen_random_uuid(), %(user)s, 'Talk ' || n, 'exchange', at, at,
               CASE WHEN (n <= 3) = %(few_away)s THEN at END
        FROM (SELECT n, now() - make_interval(secs => 2 * (%(rows)s - n)) AS at FROM generate_series(1, %(rows)s) n) t
        RETURNING id, split_part(title, ' ', 2)::int AS n, created_at AS at
    ), said AS (
        INSERT INTO chat_message (id, message_id, user_id, thread_id, parent_id, role, content, run_number, partial,
                                  created_at)
        SELECT %(message)s + 2 * n + answer, gen_random_uuid(), %(user)s, made.id,
               CASE answer WHEN 1 THEN %(message)s + 2 * n END,
               CASE answer WHEN 1 THEN 'assistant' ELSE 'user' END,
               CASE WHEN answer = 1 AND n %% 2 = 0 THEN 'The river rises in the hills. ' ELSE '' END
               || CASE WHEN answer = 0 AND n > %(rows)s - 3 THEN 'A needle. ' ELSE '' END
               || repeat('Some words of an answer, as a model says them. ', 5) || n,
               %(run)s + n, false, at
        FROM made, generate_series(0, 1) answer
    )
    INSERT INTO chat_run (id, run_number, user_id, thread_id, input_message_id, output_message_id, agent, status,
                          claim, attempt, last_seq, restart_seq, error_code, error_message, cancelled_by, usage,
                          created_at, started_at, finished_at)
    SELECT gen_random_uuid(), %(run)s + n, %(user)s, id, %(message)s + 2 * n, %(message)s + 2 * n + 1,
           'assistant', CASE WHEN n <= 3 THEN 'failed' ELSE 'completed' END, 1, 1, 1, 1, '', '', '',
           '{"model": "offline", "input_tokens": 3, "output_tokens": 4, "requests": 1, "cost_usd": null}',
           at, at, at
    FROM made
"""
# One thread. On the way: question, answer, question, answer … Beside: one question and its many answers.
_CONVERSATION: LiteralString = """
    WITH said AS (
        INSERT INTO chat_message (id, message_id, user_id, thread_id, parent_id, role, content, run_number, partial,
                                  created_at)
        SELECT %(message)s + n, gen_random_uuid(), %(user)s, %(thread)s,
               CASE WHEN n > 1 THEN %(message)s + CASE WHEN %(beside)s THEN 1 ELSE n - 1 END END,
               CASE WHEN n = 1 OR (n %% 2 = 1 AND NOT %(beside)s) THEN 'user' ELSE 'assistant' END,
               'Message ' || n || repeat(', and more words', 20),
               %(run)s + CASE WHEN %(beside)s THEN greatest(n - 1, 1) ELSE (n + 1) / 2 END, false, now()
        FROM generate_series(1, %(rows)s) n
    )
    INSERT INTO chat_run (id, run_number, user_id, thread_id, input_message_id, output_message_id, agent, status,
                          claim, attempt, last_seq, restart_seq, error_code, error_message, cancelled_by,
                          created_at, started_at, finished_at)
    SELECT gen_random_uuid(), %(run)s + n, %(user)s, %(thread)s,
           %(message)s + CASE WHEN %(beside)s THEN 1 ELSE 2 * n - 1 END,
           %(message)s + CASE WHEN %(beside)s THEN n + 1 ELSE 2 * n END,
           'data', 'completed', 1, 1, 1, 1, '', '', '', now(), now(), now()
    FROM generate_series(1, CASE WHEN %(beside)s THEN %(rows)s - 1 ELSE %(rows)s / 2 END) n
"""
_EVENTS: LiteralString = """
    INSERT INTO chat_runevent (run_id, seq, type, agent, data, created_at)
    SELECT %(run_id)s, n, 'agent_response_chunk', 'assistant',
           jsonb_build_object('message_id', 'm', 'text', repeat('some words ', 10)), now()
    FROM generate_series(1, %(rows)s) n
"""
# Every run of the talks has asked for something once; the last of the run that waits are open.
_APPROVALS: LiteralString = """
    INSERT INTO chat_approval (run_id, tool_call_id, agent, tool, arguments, created_at, expires_at, approved, by,
                               reason, resolved_at)
    SELECT r.id, 'call', 'assistant', 'fetch_page', '{}'::jsonb, now(), now() + interval '1 day', true, 'user', '',
           now()
    FROM chat_run r WHERE r.user_id = %(user)s AND r.agent = 'assistant' AND r.status <> 'awaiting_approval'
    UNION ALL
    SELECT r.id, 'call ' || n, 'assistant', 'fetch_page', '{}'::jsonb, now(), now() + interval '1 day', NULL, '', '',
           NULL
    FROM chat_run r, generate_series(1, %(waiting)s) n
    WHERE r.user_id = %(user)s AND r.status = 'awaiting_approval'
"""
_WAITING: LiteralString = """
    WITH said AS (
        INSERT INTO chat_message (id, message_id, user_id, thread_id, role, content, run_number, partial, created_at)
        VALUES (%(message)s, gen_random_uuid(), %(user)s, %(thread)s, 'user', 'May I?', %(run)s, false, now())
    )
    INSERT INTO chat_run (id, run_number, user_id, thread_id, input_message_id, agent, status, claim, attempt,
                          last_seq, restart_seq, error_code, error_message, cancelled_by, created_at, started_at)
    VALUES (%(run_id)s, %(run)s, %(user)s, %(thread)s, %(message)s, 'assistant', 'awaiting_approval', 1, 1,
            %(rows)s, 1, '', '', '', now(), now())
"""
_REQUESTS: LiteralString = """
    INSERT INTO chat_modelrequest (id, user_id, thread_id, run_id, agent, model, provider, outcome, error,
                                   input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, estimated,
                                   cost_usd, duration_ms, started_at)
    SELECT gen_random_uuid(), r.user_id, r.thread_id, r.id, 'agent ' || n %% 4, 'model ' || n %% 3, 'p', 'completed',
           '', n, 10, 0, 0, false, 0.001 * n, 100, now() - make_interval(hours => (n %% 400)::int)
    FROM (SELECT *, row_number() OVER () AS n FROM chat_run WHERE user_id = %(user)s) r LIMIT %(rows)s
"""


@dataclass(frozen=True, slots=True)
class Rows:
    """What a person has of each: so many threads, as many messages in one branch, answers to one question, events of
    one run, requests for approval, requests to models.
    """

    long_thread: uuid.UUID
    crowded_thread: uuid.UUID
    waiting_run: uuid.UUID
    events: int


def write_rows(user_id: int, rows: int, *, few_away: bool = True) -> Rows:
    """The person had none. Afterwards the planner knows of them."""
    written = Rows(uuid.uuid4(), uuid.uuid4(), uuid.uuid4(), rows)
    waiting_thread = uuid.uuid4()
    values: dict[str, Any] = {"user": user_id, "rows": rows, "few_away": few_away, "run_id": written.waiting_run}
    with unhurried(), connection.cursor() as cursor:

        def place() -> dict[str, Any]:
            """Numbers that nothing has yet."""
            cursor.execute("SELECT COALESCE(max(id), 0) FROM chat_message")
            [message] = cursor.fetchone()
            cursor.execute("SELECT COALESCE(max(run_number), 0) FROM chat_run WHERE user_id = %s", [user_id])
            return values | {"message": message + 1, "run": cursor.fetchone()[0] + 1}

        cursor.execute(_TALKS, place())
        for thread_id in (written.long_thread, written.crowded_thread, waiting_thread):
            cursor.execute(
                """INSERT INTO chat_thread (id, user_id, title, created_at, updated_at)
                   VALUES (%s, %s, 'Long', now() - interval '1 year', now() - interval '1 year')""",
                [thread_id, user_id],
            )
        cursor.execute(_CONVERSATION, place() | {"thread": written.long_thread, "beside": False})
        cursor.execute(_CONVERSATION, place() | {"thread": written.crowded_thread, "beside": True})
        cursor.execute(_WAITING, (last := place()) | {"thread": waiting_thread})
        cursor.execute(_EVENTS, values)
        cursor.execute(_APPROVALS, values | {"waiting": WAITING})
        cursor.execute(_REQUESTS, values)
        cursor.execute("SELECT setval(pg_get_serial_sequence('chat_message', 'id'), %s)", [last["message"]])
        cursor.execute(
            """INSERT INTO chat_usercounters (user_id, last_run_number, threads_version) VALUES (%s, %s, %s)
               ON CONFLICT (user_id) DO UPDATE SET last_run_number = EXCLUDED.last_run_number""",
            [user_id, last["run"], rows],
        )
        cursor.execute("ANALYZE")
    return written


def write_people(people: Sequence[tuple[int, int]], file: str) -> None:
    """For each user so many rows. The file is a list of what each one has, as JSON: for another process."""
    written = [dataclasses.asdict(write_rows(user_id, rows)) for user_id, rows in people]
    Path(file).write_text(json.dumps(written, default=str))
