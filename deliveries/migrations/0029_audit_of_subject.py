from django.db import migrations, models

from deliveries.migrations._online import AddIndexOnline


class Migration(migrations.Migration):
    # The indexes are made beside the traffic.
    atomic = False

    dependencies = [
        ("deliveries", "0028_tests_are_audited"),
    ]

    operations = [
        AddIndexOnline(
            model_name="auditentry",
            index=models.Index(fields=["subject_id", "id"], name="audit_of_subject"),
        ),
        AddIndexOnline(
            model_name="auditentry",
            index=models.Index(fields=["by", "id"], name="audit_by"),
        ),
    ]
