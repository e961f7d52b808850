"""What a person has chosen for all devices, and the agent of a note."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ('chat', '0007_attachments'),
    ]

    operations = [
        migrations.CreateModel(
            name='Preferences',
            fields=[
                ('user', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='chat_preferences', serialize=False, to=settings.AUTH_USER_MODEL)),
                ('default_agent', models.CharField(blank=True, help_text='Who is asked when nobody is named.', max_length=64)),
            ],
            options={
                'verbose_name_plural': 'preferences',
            },
        ),
        migrations.AddField(
            model_name='note',
            name='agent',
            field=models.CharField(blank=True, db_default='', default='', max_length=64),
        ),
    ]
