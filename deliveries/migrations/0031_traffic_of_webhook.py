from django.db import migrations, models

from deliveries.migrations._online import AddIndexOnline


class Migration(migrations.Migration):
    # The index is made beside the traffic.
    atomic = False

    dependencies = [
        ("deliveries", "0030_disabled_themselves"),
    ]

    operations = [
        AddIndexOnline(
            model_name="trafficminute",
            index=models.Index(fields=["webhook", "minute"], name="traffic_of_webhook"),
        ),
    ]
