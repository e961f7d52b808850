"""What the lists of the administration are sorted by. Indexes are built while people go on writing."""

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
        ('chat', '0014_administration'),
    ]

    operations = [
        *built('thread', models.Index(fields=['updated_at', 'id'], name='thread_by_time')),
        *built('run', models.Index(fields=['created_at', 'id'], name='run_by_time')),
        *built('run', models.Index(condition=Q(status='failed'), fields=['finished_at'], name='run_failed_by_time')),
        *built('messagefeedback', models.Index(fields=['updated_at', 'message'], name='feedback_by_time')),
        *built('auditentry', models.Index(fields=['action', 'at', 'id'], name='audit_by_action')),
        *built('auditentry', models.Index(condition=~Q(refused=''), fields=['at', 'id'], name='audit_refused')),
    ]
