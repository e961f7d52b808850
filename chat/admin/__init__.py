"""The administration: Django's, in unfold's look. Its site is `chat.admin_site`; each module here has one noun."""

from chat.admin import audit_log, feedback, people, requests, runs, servers, threads

__all__ = ["audit_log", "feedback", "people", "requests", "runs", "servers", "threads"]
