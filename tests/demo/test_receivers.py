"""The receivers, without HTTP."""

import threading

import pytest

from deliveries import circuits
from deliveries.demo.receivers import (
    AT_A_STRETCH,
    HISTORY,
    MAX_COUNTED,
    MAX_RECEIVERS,
    Behaviour,
    Delivery,
    Receivers,
    Signature,
    TooManyReceivers,
    meaning,
)
from tests.builders import NOW


def a_delivery_of(message_id: str = "message") -> Delivery:
    """Return a delivery as a receiver remembers it."""
    return Delivery(
        receiver="healthy",
        received_at=NOW,
        method="POST",
        headers={},
        body="{}",
        message_id=message_id,
        event="call.ended",
        attempt="1",
        signature=Signature.VALID,
        answer="200 OK",
    )


class TestAnswer:
    @pytest.mark.parametrize(
        ("behaviour", "http_status"),
        [
            (Behaviour.OK, 200),
            (Behaviour.ERROR, 500),
            (Behaviour.SLOW, 200),
            (Behaviour.NEVER, None),
            (Behaviour.BUSY, 429),
            (Behaviour.GONE, 410),
            (Behaviour.MOVED, 301),
        ],
    )
    def test_is_what_the_receiver_was_told(self, behaviour: Behaviour, http_status: int | None) -> None:
        receivers = Receivers({})
        receivers.behave("mine", behaviour)

        assert receivers.answer("mine", "message").http_status == http_status

    def test_of_a_flaky_one_fails_twice_for_each_message(self) -> None:
        receivers = Receivers({"flaky": Behaviour.FLAKY})

        first = [receivers.answer("flaky", "first").http_status for _ in range(4)]
        second = [receivers.answer("flaky", "second").http_status for _ in range(3)]

        assert (first, second) == ([500, 500, 200, 200], [500, 500, 200])

    def test_of_a_flaky_one_does_not_depend_on_another(self) -> None:
        receivers = Receivers({"one": Behaviour.FLAKY, "other": Behaviour.FLAKY})
        for _ in range(3):
            receivers.answer("one", "message")

        assert receivers.answer("other", "message").http_status == 500

    def test_of_a_flaky_one_opens_no_circuit_where_many_come_at_once(self) -> None:
        receivers = Receivers({"flaky": Behaviour.FLAKY})

        answers = [receivers.answer("flaky", str(number)).http_status for number in range(60)]

        for count in range(circuits.AT_LEAST, len(answers) + 1):
            failed = answers[:count].count(500)
            assert not circuits.trips(in_a_row=0, attempts=count, unavailable=failed), answers[:count]

    def test_of_a_flaky_one_is_soon_no_failure_whatever_it_is_tried_with(self) -> None:
        receivers = Receivers({"flaky": Behaviour.FLAKY})
        for number in range(10):
            receivers.answer("flaky", str(number))

        probes = [receivers.answer("flaky", str(number)).http_status for number in range(4)]

        assert 200 in probes

    def test_of_a_flaky_one_fails_twice_again_for_who_comes_alone(self) -> None:
        receivers = Receivers({"flaky": Behaviour.FLAKY})

        alone = [[receivers.answer("flaky", str(each)).http_status for _ in range(3)] for each in range(9)]

        assert alone == [[500, 500, 200]] * 9

    def test_of_a_flaky_one_counts_no_more_messages_than_fit(self) -> None:
        receivers = Receivers({"flaky": Behaviour.FLAKY})
        receivers.answer("flaky", "oldest")
        receivers.answer("flaky", "oldest")
        # Every second of them fails.
        for number in range(2 * MAX_COUNTED):
            receivers.answer("flaky", str(number))

        assert 500 in [receivers.answer("flaky", "oldest").http_status for _ in range(AT_A_STRETCH + 1)]

    def test_of_a_new_one_is_200(self) -> None:
        receivers = Receivers({})

        assert receivers.answer("new", "message").http_status == 200
        assert receivers.behaviours() == {"new": Behaviour.OK}

    def test_is_refused_where_there_are_too_many(self) -> None:
        receivers = Receivers({str(number): Behaviour.OK for number in range(MAX_RECEIVERS)})

        with pytest.raises(TooManyReceivers):
            receivers.answer("one-more", "message")
        assert receivers.answer("0", "message").http_status == 200


class TestHistory:
    def test_is_newest_first(self) -> None:
        receivers = Receivers({})
        receivers.note(a_delivery_of("older"))
        receivers.note(a_delivery_of("newer"))

        last, deliveries = receivers.since(0)

        assert last == 2
        assert [delivery.message_id for delivery in deliveries] == ["newer", "older"]

    def test_gives_only_what_is_new(self) -> None:
        receivers = Receivers({})
        receivers.note(a_delivery_of("seen"))
        last, _ = receivers.since(0)
        receivers.note(a_delivery_of("new"))

        _, deliveries = receivers.since(last)

        assert [delivery.message_id for delivery in deliveries] == ["new"]

    def test_forgets_the_oldest(self) -> None:
        receivers = Receivers({})
        for number in range(HISTORY + 1):
            receivers.note(a_delivery_of(str(number)))

        last, deliveries = receivers.since(0)

        assert (last, len(deliveries)) == (HISTORY + 1, HISTORY)
        assert deliveries[-1].message_id == "1"

    def test_loses_nothing_between_threads(self) -> None:
        receivers = Receivers({})

        def note() -> None:
            for _ in range(20):
                receivers.note(a_delivery_of())

        threads = [threading.Thread(target=note) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        last, deliveries = receivers.since(0)

        assert (last, len(deliveries)) == (160, 160)


class TestMeaning:
    @pytest.mark.parametrize("behaviour", Behaviour)
    def test_is_that_of_the_behaviour(self, behaviour: Behaviour) -> None:
        assert meaning("healthy", behaviour) == behaviour.meaning

    def test_tells_why_nothing_comes(self) -> None:
        assert meaning("disabled", Behaviour.OK) == "Nothing comes until its webhook is turned on"

    def test_of_the_disabled_one_is_what_somebody_chose(self) -> None:
        assert meaning("disabled", Behaviour.ERROR) == "Always fails"
