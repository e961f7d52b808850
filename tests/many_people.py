"""A deployment's rows by the million, written by the database itself: what the administration is measured on."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from typing import Any, LiteralString

from django.db import connection

from chat.postgres_connection import unhurried

DAYS = 90
EVENTS_A_RUN = 50
# Of one run, so that there is one of which the events are not shown at once.
LONGEST_RUN = 10_000
RUNS_A_THREAD = 4

# Everything is of the last DAYS, evenly. Run m is a question and its answer in thread (m - 1) / RUNS_A_THREAD, whose
# person is its number modulo the people; every 25th has failed, every 400th is open, and every 10th answer is rated.
_WRITING: tuple[LiteralString, ...] = (
    """INSERT INTO auth_user (id, username, password, email, first_name, last_name, is_active, is_staff,
                              is_superuser, date_joined)
       SELECT %(user)s + n, 'person' || lpad(n::text, 6, '0'), '!', 'person' || n || '@example.org', '', '', true,
              false, false, now()
       FROM generate_series(1, %(people)s) n""",
    """INSERT INTO chat_usercounters (user_id, last_run_number, threads_version, runs_counted_on, runs_counted)
       SELECT %(user)s + n, %(runs)s, 1, current_date, n %% 7 FROM generate_series(1, %(people)s) n""",
    """INSERT INTO chat_session (id, user_id, kind, epoch, password, agent, network, created_at, last_used_at,
                                 expires_at, token_id, issued_at, replaced, ended_by)
       SELECT gen_random_uuid(), %(user)s + n, 'cookie', 0, '', 'a browser', '192.0.2.7', now(), now(),
              now() + interval '7 days', gen_random_uuid(), now(), '[]', ''
       FROM generate_series(1, %(people)s) n, generate_series(1, 3)""",
    """INSERT INTO chat_thread (id, user_id, title, title_origin, created_at, updated_at)
       SELECT md5('thread' || n)::uuid, %(user)s + 1 + n %% %(people)s, 'Talk ' || n, 'exchange', at, at
       FROM (SELECT n, now() - make_interval(secs => %(seconds)s * (%(threads)s - n) / %(threads)s) AS at
             FROM generate_series(1, %(threads)s) n) t""",
    """INSERT INTO chat_message (id, message_id, user_id, thread_id, parent_id, role, content, run_number, partial,
                                 created_at)
       SELECT %(message)s + 2 * m + answer, md5('message' || 2 * m + answer)::uuid,
              %(user)s + 1 + thread %% %(people)s, md5('thread' || thread)::uuid,
              CASE WHEN answer = 1 THEN %(message)s + 2 * m
                   WHEN (m - 1) %% %(runs_a_thread)s > 0 THEN %(message)s + 2 * m - 1 END,
              CASE answer WHEN 1 THEN 'assistant' ELSE 'user' END,
              CASE WHEN answer = 0 AND m > %(runs)s - 3 THEN 'A needle. ' ELSE '' END
              || repeat('Some words of an answer, as a model says them. ', 6) || m,
              m, false, now() - make_interval(secs => %(seconds)s * (%(runs)s - m) / %(runs)s)
       FROM (SELECT m, 1 + (m - 1) / %(runs_a_thread)s AS thread FROM generate_series(1, %(runs)s) m) r,
            generate_series(0, 1) answer""",
    """INSERT INTO chat_run (id, run_number, user_id, thread_id, input_message_id, output_message_id, agent, status,
                             claim, attempt, last_seq, restart_seq, error_code, error_message, cancelled_by, usage,
                             created_at, started_at, finished_at)
       SELECT md5('run' || m)::uuid, m, %(user)s + 1 + thread %% %(people)s, md5('thread' || thread)::uuid,
              %(message)s + 2 * m, %(message)s + 2 * m + 1,
              (ARRAY['assistant', 'triage', 'data', 'optimization'])[1 + m %% 4],
              CASE WHEN m %% %(runs_a_thread)s = 0 AND m %% 400 = 0 THEN 'queued'
                   WHEN m %% 25 = 0 THEN 'failed' ELSE 'completed' END,
              1, 1, CASE m WHEN %(runs)s - 1 THEN %(longest)s ELSE %(events_a_run)s END, 1,
              CASE WHEN m %% 25 = 0 AND m %% 400 > 0 THEN 'MODEL_ERROR' ELSE '' END, '', '',
              '{"model": "offline", "input_tokens": 3, "output_tokens": 4, "requests": 1, "cost_usd": null}',
              at, at + interval '1 second', CASE WHEN m %% 400 > 0 THEN at + interval '5 seconds' END
       FROM (SELECT m, 1 + (m - 1) / %(runs_a_thread)s AS thread,
                    now() - make_interval(secs => %(seconds)s * (%(runs)s - m) / %(runs)s) AS at
             FROM generate_series(1, %(runs)s) m) r""",
    """INSERT INTO chat_runevent (run_id, seq, type, agent, data, created_at)
       SELECT md5('run' || m)::uuid, seq, kind, 'assistant',
              CASE kind
                  WHEN 'message_created' THEN '{"message": {"id": "m", "role": "user", "content": "Some words"}}'::jsonb
                  WHEN 'agent_started' THEN '{"model": "offline", "attempt": 1}'
                  WHEN 'tool_executing' THEN jsonb_build_object('tool', 'calculate', 'tool_call_id', 'call',
                                                                'arguments', jsonb_build_object('expression', '6 * 7'))
                  WHEN 'tool_completed' THEN jsonb_build_object('tool', 'calculate', 'tool_call_id', 'call',
                                                                'result', 42, 'duration_ms', 3)
                  ELSE jsonb_build_object('message_id', 'm', 'text', repeat('some words ', 8)) END,
              now()
       FROM generate_series(1, %(runs)s) m,
            LATERAL generate_series(1, CASE m WHEN %(runs)s - 1 THEN %(longest)s ELSE %(events_a_run)s END) seq,
            LATERAL (SELECT CASE seq WHEN 1 THEN 'message_created' WHEN 2 THEN 'agent_started'
                                     WHEN 4 THEN 'tool_executing' WHEN 5 THEN 'tool_completed'
                                     ELSE 'agent_response_chunk' END AS kind) k""",
    """INSERT INTO chat_modelrequest (id, user_id, thread_id, run_id, agent, model, provider, outcome, error,
                                      input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, estimated,
                                      cost_usd, duration_ms, started_at)
       SELECT gen_random_uuid(), user_id, thread_id, id, agent, 'model ' || run_number %% 3, 'p',
              CASE WHEN status = 'failed' THEN 'failed' ELSE 'completed' END, '', 900, 90, 0, 0, false, 0.001, 100,
              created_at
       FROM chat_run, generate_series(1, 2) WHERE user_id > %(user)s""",
    """INSERT INTO chat_messagefeedback (message_id, rating, text, updated_at)
       SELECT id, CASE WHEN id %% 3 = 0 THEN 'down' ELSE 'up' END, 'Some words', created_at
       FROM chat_message WHERE id > %(message)s AND role = 'assistant' AND id %% 10 = 1""",
    """INSERT INTO chat_approval (run_id, tool_call_id, agent, tool, arguments, created_at, expires_at, approved, by,
                                  reason, resolved_at)
       SELECT id, 'call', agent, 'fetch_page', '{}', created_at, created_at + interval '1 day', true, 'user', '',
              created_at
       FROM chat_run WHERE user_id > %(user)s AND run_number %% 10 = 0 ORDER BY run_number""",
    """INSERT INTO chat_auditentry (at, action, refused, actor, subject, address, target, details)
       SELECT now() - make_interval(secs => %(seconds)s * (%(audit)s - n) / %(audit)s),
              CASE WHEN n %% 1000 = 0 THEN 'look' WHEN n %% 2 = 0 THEN 'connect' ELSE 'sign_in' END,
              CASE WHEN n %% 50 = 0 THEN 'INVALID_TOKEN' ELSE '' END,
              %(user)s + 1 + n %% %(people)s, %(user)s + 1 + n %% %(people)s, '192.0.2.7', '', '{}'
       FROM generate_series(1, %(audit)s) n""",
)


@dataclass(frozen=True, slots=True)
class Deployment:
    """What is there once, to be asked for."""

    person: int
    thread: uuid.UUID
    run: uuid.UUID
    longest_run: uuid.UUID


def write_deployment(runs: int, *, events: int = EVENTS_A_RUN) -> Deployment:
    """So many runs, each with so many events; a quarter as many threads, and a fortieth as many people.

    Afterwards the planner knows of them.
    """
    people, threads = max(2, runs // 40), runs // RUNS_A_THREAD
    longest = max(LONGEST_RUN * runs // 20_000, 4 * events)
    with unhurried(), connection.cursor() as cursor:
        cursor.execute("SELECT COALESCE(max(id), 0) FROM auth_user")
        [user] = cursor.fetchone()
        cursor.execute("SELECT COALESCE(max(id), 0) FROM chat_message")
        [message] = cursor.fetchone()
        values: dict[str, Any] = {
            "user": user,
            "message": message,
            "people": people,
            "threads": threads,
            "runs": runs,
            "audit": 10 * runs,
            "seconds": DAYS * 86400.0,
            "longest": longest,
            "events_a_run": events,
            "runs_a_thread": RUNS_A_THREAD,
        }
        for statement in _WRITING:
            cursor.execute(statement, values)
        cursor.execute("SELECT setval(pg_get_serial_sequence('auth_user', 'id'), %s)", [user + people])
        cursor.execute("SELECT setval(pg_get_serial_sequence('chat_message', 'id'), %s)", [message + 2 * runs + 1])
        cursor.execute("ANALYZE")
    return Deployment(user + 1, _named(f"thread{threads}"), _named(f"run{runs}"), _named(f"run{runs - 1}"))


def _named(name: str) -> uuid.UUID:
    return uuid.UUID(hashlib.md5(name.encode(), usedforsecurity=False).hexdigest())
