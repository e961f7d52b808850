"""The embedded PostgreSQL, used when DATABASE_URL is unset: one server for all processes of a data folder.

A *user* is any process that needs the database. The *guard* is a small process in a session of its own: it
starts the server, is its parent and stops it when no user is left. Three locks say who is there:

1. All of them are flocks: the kernel drops them when the holder ends, kill -9 included. No pid is believed.
2. `users.lock`: a user holds it shared. The guard stops the server once it gets it exclusively, and keeps it
   until it ends: who comes meanwhile waits for the shared lock and then starts the next guard.
3. `guard.lock`: the guard's life. The user who starts a guard takes it and the guard inherits it: there
   are never two guards, and no moment between the two holders, whoever of them is killed.
4. `ready.lock`: held exclusively by the guard while the server answers. Others take it shared, for a moment.
   So whoever holds `users.lock` and finds `ready.lock` held has a server, and the server stays.
5. The server ends with its guard (PDEATHSIG). Where the system has no such thing, the next guard ends it.
6. The folder `data` appears by renaming a complete cluster: an interrupted initdb leaves nothing there.
"""

from __future__ import annotations

from netra.postgres.cluster import PostgresError
from netra.postgres.embedded import EmbeddedPostgres

__all__ = ["EmbeddedPostgres", "PostgresError"]
