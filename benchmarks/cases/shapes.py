"""What a delivery costs when something about it is different."""

from collections.abc import Iterator

from benchmarks.case import Case, Contest, Plan, rounds
from benchmarks.cases.delivery import COLUMNS
from benchmarks.contenders import BARE_CURL, BARE_REQUESTS, BASELINE, CURL, FLOOR, REQUESTS, contenders, sized
from benchmarks.figures import Turn
from benchmarks.ground import Ground
from benchmarks.installation import Load

_ALL = (CURL, REQUESTS, BASELINE, FLOOR, BARE_CURL, BARE_REQUESTS)
_OURS = (CURL, REQUESTS)
# What is different, and for whom it is.
SHAPES = {
    "10 KB": (Load(kilobytes=10), _ALL),
    "each event to 10 webhooks": (Load(fan_out=10), _OURS),
    "each event to 100 webhooks": (Load(fan_out=100), _OURS),
    "https": (Load(tls=True), _ALL),
    "no kept connections": (Load(kept=False), _ALL),
    "https, no kept connections": (Load(tls=True, kept=False), _ALL),
    "1 webhook": (Load(webhooks=1), _OURS),
    "2,000 webhooks": (Load(webhooks=2000), _OURS),
}


def measure(ground: Ground, plan: Plan) -> Iterator[Turn]:
    """Measure."""
    with contenders(ground) as deliver:
        contests = [
            Contest(point=point, variant=name, turn=sized(deliver[name], load, seconds=1.0))
            for point, (load, names) in SHAPES.items()
            for name in names
        ]
        yield from rounds(plan, contests, most=3)


CASE = Case(
    name="shapes",
    title="When something is different",
    says="""\
The same, with one thing changed each time: larger bodies, events that go to many webhooks, TLS, receivers
that close the connection after each answer, one webhook and 2,000. One webhook alone never has more than
its share of a worker under way, so it is slower; what it costs is what matters here.""",
    seconds=100,
    columns=COLUMNS,
    to=CURL,
    measure=measure,
)
