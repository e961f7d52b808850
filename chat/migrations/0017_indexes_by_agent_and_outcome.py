"""What the administration filters by. Indexes are built while people go on writing."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.models import Q


def built(model_name, index):
    return [
        migrations.RunSQL(f'DROP INDEX CONCURRENTLY IF EXISTS {index.name}', migrations.RunSQL.noop),
        AddIndexConcurrently(model_name=model_name, index=index),
    ]


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ('chat', '0016_deactivated_runs'),
    ]

    operations = [
        *built('run', models.Index(fields=['agent', 'created_at', 'id'], name='run_by_agent')),
        *built('modelrequest', models.Index(condition=~Q(outcome='completed'), fields=['started_at'], name='model_request_without_answer')),
    ]
