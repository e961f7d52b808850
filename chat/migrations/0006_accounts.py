"""What accounts need: the epoch of sessions, deletion in steps, names that are the same, requests to reset a password."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from chat.names import same_name


def claim_names(apps, schema_editor):
    """Those of the first who has a name: of users whose names were told apart by case so far, one has it."""
    user_model = apps.get_model('auth', 'User')
    claimed = apps.get_model('chat', 'ClaimedName')
    batch = []
    for pk, username in user_model.objects.order_by('date_joined', 'id').values_list('id', 'username').iterator():
        batch.append(claimed(name=same_name(username), user_id=pk))
        if len(batch) == 1000:
            claimed.objects.bulk_create(batch, ignore_conflicts=True)
            batch = []
    claimed.objects.bulk_create(batch, ignore_conflicts=True)


class Migration(migrations.Migration):

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ('chat', '0005_indexes_of_lists'),
    ]

    operations = [
        migrations.AddField(
            model_name='usercounters',
            name='sessions_epoch',
            field=models.PositiveIntegerField(db_default=0, default=0, help_text='Tokens of an earlier one are refused: counts how often all sessions ended.'),
        ),
        migrations.AddField(
            model_name='usercounters',
            name='deleted_at',
            field=models.DateTimeField(blank=True, help_text='The account is deleted: the sweep removes what is left of it.', null=True),
        ),
        migrations.AddIndex(
            model_name='usercounters',
            index=models.Index(condition=models.Q(('deleted_at', None), _negated=True), fields=['deleted_at'], name='user_deleted'),
        ),
        migrations.CreateModel(
            name='ClaimedName',
            fields=[
                ('name', models.CharField(max_length=600, primary_key=True, serialize=False)),
                ('user', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='claimed_name', to=settings.AUTH_USER_MODEL)),
            ],
        ),
        migrations.CreateModel(
            name='ResetRequest',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('email', models.EmailField(max_length=254)),
                ('created_at', models.DateTimeField()),
                ('tried_at', models.DateTimeField()),
            ],
        ),
        # As Django's `iexact` asks.
        migrations.RunSQL(
            'CREATE INDEX IF NOT EXISTS chat_user_by_email ON auth_user (upper(email::text))',
            'DROP INDEX IF EXISTS chat_user_by_email',
        ),
        migrations.RunPython(claim_names, migrations.RunPython.noop),
    ]
