from django.db import migrations

from deliveries.migrations import _groups


class Migration(migrations.Migration):
    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("axes", "0010_accessattemptexpiration"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("deliveries", "0005_held_in_order"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="event",
            options={"permissions": [("view_bodies", "Can see bodies: what was sent and what came back")]},
        ),
        # Going back keeps the groups: there may be people in them.
        migrations.RunPython(_groups.complete, migrations.RunPython.noop),
    ]
