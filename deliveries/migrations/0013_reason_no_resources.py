from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("deliveries", "0012_acts_by_hand"),
    ]

    operations = [
        migrations.AlterField(
            model_name="attempt",
            name="reason_code",
            field=models.CharField(
                blank=True,
                choices=[
                    ("blocked_address", "blocked_address"),
                    ("cancelled", "cancelled"),
                    ("connection_closed", "connection_closed"),
                    ("connection_refused", "connection_refused"),
                    ("connection_timeout", "connection_timeout"),
                    ("dns_failed", "dns_failed"),
                    ("http_status", "http_status"),
                    ("invalid_request", "invalid_request"),
                    ("invalid_response", "invalid_response"),
                    ("no_resources", "no_resources"),
                    ("response_too_slow", "response_too_slow"),
                    ("tls_failed", "tls_failed"),
                    ("worker_killed", "worker_killed"),
                ],
                max_length=32,
            ),
        ),
        migrations.AlterField(
            model_name="failure",
            name="reason_code",
            field=models.CharField(
                blank=True,
                choices=[
                    ("blocked_address", "blocked_address"),
                    ("cancelled", "cancelled"),
                    ("connection_closed", "connection_closed"),
                    ("connection_refused", "connection_refused"),
                    ("connection_timeout", "connection_timeout"),
                    ("dns_failed", "dns_failed"),
                    ("http_status", "http_status"),
                    ("invalid_request", "invalid_request"),
                    ("invalid_response", "invalid_response"),
                    ("no_resources", "no_resources"),
                    ("response_too_slow", "response_too_slow"),
                    ("tls_failed", "tls_failed"),
                    ("worker_killed", "worker_killed"),
                ],
                max_length=32,
            ),
        ),
        migrations.AlterField(
            model_name="recovery",
            name="reason_code",
            field=models.CharField(
                blank=True,
                choices=[
                    ("blocked_address", "blocked_address"),
                    ("cancelled", "cancelled"),
                    ("connection_closed", "connection_closed"),
                    ("connection_refused", "connection_refused"),
                    ("connection_timeout", "connection_timeout"),
                    ("dns_failed", "dns_failed"),
                    ("http_status", "http_status"),
                    ("invalid_request", "invalid_request"),
                    ("invalid_response", "invalid_response"),
                    ("no_resources", "no_resources"),
                    ("response_too_slow", "response_too_slow"),
                    ("tls_failed", "tls_failed"),
                    ("worker_killed", "worker_killed"),
                ],
                max_length=32,
            ),
        ),
    ]
