"""`/api/supervisor`: how the server does, and what it does for the person."""

from __future__ import annotations

from django.conf import settings
from django.db import connection
from django.db.models import Count
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from chat.api import schemas
from chat.api.documented import documented
from chat.api.serving import agent_supervisor, thread_service
from chat.models import OPEN_STATUSES, Run, RunStatus


class Supervisor(APIView):
    """`GET` → {status, workers, runs, agents}: open runs are the person's own; staff see everybody's."""

    @documented(
        "get_supervisor",
        "Whether the server works, and what it does for the person.",
        answer=schemas.Supervisor,
        tag="agents",
    )
    def get(self, request: Request) -> Response:
        user = request.user
        runs = Run.objects.all() if user.is_staff else thread_service().runs_of(user.pk)
        open_runs = runs.filter(status__in=OPEN_STATUSES, thread__deleted_at=None).order_by()
        counted = list(open_runs.values_list("agent", "status").annotate(Count("id")))
        alive = live_workers()
        return Response(
            {
                "status": "ready" if alive else "degraded",
                "workers": alive,
                "runs": {
                    status.value: sum(number for _, found, number in counted if found == status)
                    for status in (RunStatus.QUEUED, RunStatus.RUNNING, RunStatus.AWAITING_APPROVAL)
                },
                "agents": [
                    {
                        "name": name,
                        "running": sum(
                            number for agent, status, number in counted if (agent, status) == (name, RunStatus.RUNNING)
                        ),
                    }
                    for name in agent_supervisor().agent_names
                ],
            }
        )


def live_workers() -> int:
    """How many workers have told of themselves of late."""
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT count(*) FROM procrastinate_workers
               WHERE last_heartbeat > now() - make_interval(secs => %s)""",
            [settings.NETRA.worker_stalled_seconds],
        )
        return int(cursor.fetchone()[0])
