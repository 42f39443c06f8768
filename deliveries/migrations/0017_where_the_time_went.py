from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("deliveries", "0016_rules_version"),
    ]

    operations = [
        migrations.AddField(
            model_name="attempt",
            name="remote_address",
            field=models.GenericIPAddressField(help_text="What it went to, or tried last.", null=True),
        ),
        migrations.AddField(
            model_name="attempt",
            name="dns_us",
            field=models.IntegerField(help_text="Until the name had its addresses.", null=True),
        ),
        migrations.AddField(
            model_name="attempt",
            name="connect_us",
            field=models.IntegerField(help_text="Until there was a connection.", null=True),
        ),
        migrations.AddField(
            model_name="attempt",
            name="tls_us",
            field=models.IntegerField(help_text="The handshake.", null=True),
        ),
        migrations.AddField(
            model_name="attempt",
            name="first_byte_us",
            field=models.IntegerField(
                help_text="From the request to the first byte of the answer.", null=True
            ),
        ),
    ]
