"""An index is built while people go on writing. One that was not built to its end is built again by the next try."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ('chat', '0012_sessions'),
    ]

    operations = [
        migrations.RunSQL('DROP INDEX CONCURRENTLY IF EXISTS thread_by_last_writing', migrations.RunSQL.noop),
        AddIndexConcurrently(
            model_name='thread',
            index=models.Index(condition=models.Q(('deleted_at', None)), fields=['updated_at'], name='thread_by_last_writing'),
        ),
    ]
