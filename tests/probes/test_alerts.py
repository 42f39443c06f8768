"""The rules for Prometheus: they ask for what is there, and add nothing up twice."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from deliveries.models import WebhookHealth, Worker
from deliveries.probes import exposition
from tests import builders

ALERTS = Path(__file__).resolve().parent.parent.parent / "deploy" / "alerts.yaml"
RULES = {
    rule["alert"]: rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]
}
# A metric with what is asked of its labels.
SELECTOR = re.compile(r"\b(webhooks_\w+)(?:{([^}]*)})?")
MATCHER = re.compile(r'(\w+)(=~?)"([^"]*)"')


@pytest.fixture
def samples(db: None) -> list[Sample]:
    """What a scrape of a service with one worker gives."""
    numbers = exposition.ask(now=builders.NOW)
    builders.a_worker()
    numbers.measures.alive.append(Worker.objects.get())
    given = exposition.render(numbers, up=True).decode()
    return [sample for family in text_string_to_metric_families(given) for sample in family.samples]


def matched(selector: "re.Match[str]", samples: list[Sample]) -> list[Mapping[str, str]]:
    """Return the labels of the series a selector takes."""
    wanted = {
        label: re.compile(value if operator == "=~" else re.escape(value))
        for label, operator, value in MATCHER.findall(selector[2] or "")
    }
    return [
        sample.labels
        for sample in samples
        if sample.name == selector[1]
        and all(pattern.fullmatch(sample.labels.get(label, "")) for label, pattern in wanted.items())
    ]


@pytest.mark.parametrize("alert", RULES)
class TestEveryRule:
    def test_asks_for_series_that_are_there(self, samples: list[Sample], alert: str) -> None:
        rule = RULES[alert]

        assert rule.keys() == {"alert", "expr", "for", "labels", "annotations"}
        asked = list(SELECTOR.finditer(rule["expr"]))
        assert asked
        for selector in asked:
            assert matched(selector, samples), selector[0]

    def test_counts_once_what_every_web_process_says(self, samples: list[Sample], alert: str) -> None:
        expression = RULES[alert]["expr"]
        for selector in SELECTOR.finditer(expression):
            labels = {name for series in matched(selector, samples) for name in series}
            before = expression[: selector.start()]
            if "sum" not in before or "pid" in labels:
                continue
            # Of several sums joined by words, the last one that was begun.
            own = before[before.rindex("sum") :]
            assert re.match(rf"sum\(max by \({'|'.join(labels)}\) \(", own), selector[0]

    def test_adds_nothing_to_what_may_be_missing(self, alert: str) -> None:
        # Without a worker there is no series of workers, and a sum of it with anything is nothing at all.
        assert not re.search(r"\)\s*\+", RULES[alert]["expr"])


def test_a_receiver_out_of_order_is_also_one_that_is_tried(samples: list[Sample]) -> None:
    (selector,) = SELECTOR.finditer(RULES["WebhooksCircuitsOpen"]["expr"])

    states = {labels["state"] for labels in matched(selector, samples)}

    # Each try takes the circuit out of "open" before the rule's time is over.
    assert states == {WebhookHealth.Circuit.OPEN, WebhookHealth.Circuit.PROBING}


def test_the_web_processes_are_missed_when_none_is_left() -> None:
    assert RULES["WebhooksWebGone"]["expr"] == "absent(webhooks_database_up)"
