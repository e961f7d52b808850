import uuid

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ('chat', '0006_accounts'),
    ]

    operations = [
        migrations.CreateModel(
            name='Attachment',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('position', models.PositiveSmallIntegerField(default=0)),
                ('sent_as', models.UUIDField(blank=True, null=True)),
                ('name', models.CharField(max_length=200)),
                ('media_type', models.CharField(max_length=64)),
                ('bytes', models.PositiveBigIntegerField()),
                ('digest', models.CharField(help_text='SHA-256 of the content.', max_length=64)),
                ('storage_name', models.CharField(db_index=True, max_length=200)),
                ('created_at', models.DateTimeField()),
                ('message', models.ForeignKey(blank=True, db_index=False, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='attachments', to='chat.message')),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='attachments', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'indexes': [models.Index(condition=models.Q(('message', None)), fields=['created_at'], name='attachment_unsent')],
                'constraints': [models.UniqueConstraint(fields=('message', 'position'), name='attachment_has_its_place')],
            },
        ),
    ]
