"""Indexes are built while people go on writing. One that was not built to its end is built again by the next try."""

import django.db.models.deletion
import django.db.models.functions.comparison
from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models

BY_ACTIVITY = (
    models.F('user'), models.OrderBy(models.F('updated_at'), descending=True), models.OrderBy(models.F('id'), descending=True)
)


def built(model_name, index):
    return [
        migrations.RunSQL(f'DROP INDEX CONCURRENTLY IF EXISTS {index.name}', migrations.RunSQL.noop),
        AddIndexConcurrently(model_name=model_name, index=index),
    ]


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ('chat', '0004_archived_threads_and_feedback'),
    ]

    operations = [
        *built('thread', models.Index(*BY_ACTIVITY, condition=models.Q(('archived_at', None), ('deleted_at', None)), name='thread_by_activity_kept')),
        *built('thread', models.Index(*BY_ACTIVITY, condition=models.Q(('archived_at__isnull', False), ('deleted_at', None)), name='thread_by_activity_archived')),
        *built('message', models.Index(django.db.models.functions.comparison.Coalesce(django.db.models.functions.comparison.Cast('parent', models.TextField()), django.db.models.functions.comparison.Cast('thread', models.TextField())), models.F('role'), models.F('run_number'), models.F('id'), name='message_by_place')),
        *built('run', models.Index(fields=['input_message', 'run_number'], name='run_by_question')),
        *built('run', models.Index(condition=models.Q(('status__in', ['failed', 'cancelled'])), fields=['user', 'status', 'run_number'], name='run_without_answer_by_user')),
        RemoveIndexConcurrently(model_name='thread', name='thread_by_activity'),
        # The index that Django gives to a foreign key is the beginning of `run_by_question`.
        migrations.AlterField(
            model_name='run',
            name='input_message',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='runs', to='chat.message'),
        ),
    ]
