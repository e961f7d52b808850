"""Who may read what was said, and that staff can cancel a run."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('chat', '0013_idle_threads'),
    ]

    operations = [
        migrations.AlterModelOptions(
            name='thread',
            options={'permissions': [('view_content', 'Can see what people and agents write')]},
        ),
        migrations.AlterField(
            model_name='run',
            name='cancelled_by',
            field=models.CharField(blank=True, choices=[('user', 'User'), ('interrupt', 'Interrupt'), ('deleted', 'Deleted'), ('staff', 'Staff')], max_length=9),
        ),
    ]
