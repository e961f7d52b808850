"""Everything that a deployment keeps, in one folder, and back: `manage.py backup`, `manage.py restore`.

    2026-11-29/
      manifest.json    what it is of, and what it has (`Manifest`); written last
      database.dump    pg_dump's custom format: one snapshot of all tables
      files/           what people attached, by the names that the storage has for it

A backup is taken while people talk. Its files are copied after the snapshot was taken, and a file is stored before its
row is committed, so every row of the snapshot has its file, unless that was removed for good meanwhile. Secrets are in
no backup, and Redis keeps nothing that is needed.
"""

from __future__ import annotations

from netra.backup.making import Made, back_up
from netra.backup.manifest import BackupUnusable, Manifest
from netra.backup.restoring import Restored, restore

__all__ = ["BackupUnusable", "Made", "Manifest", "Restored", "back_up", "restore"]
