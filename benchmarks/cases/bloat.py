"""What a million deliveries leave behind in the tables that every delivery changes."""

from collections import Counter
from collections.abc import Iterator

from benchmarks.case import Case, Column, Plan
from benchmarks.contenders import CURL, drain
from benchmarks.figures import Numbers, Turn, cpu_per, plain
from benchmarks.ground import Ground
from benchmarks.installation import Installation, Load

# Deliveries that are queued at once, and how many of these make a row.
QUEUED, TIMES, ROWS = 25_000, 10, 4
MEGABYTE = 1024 * 1024
TABLES = ("delivery", "webhookhealth", "trafficminute")


def measure(ground: Ground, plan: Plan) -> Iterator[Turn]:
    """Measure."""
    installation = ground.installation("bloat", WEBHOOKS_TRANSPORT=CURL)
    installation.begin()
    drain(ground, installation, Load(deliveries=500))
    for row in range(1, ROWS + 1):
        numbers: Counter[str] = Counter()
        for _ in range(TIMES):
            numbers.update(drain(ground, installation, Load(deliveries=QUEUED)))
        sizes = _sizes(installation)
        yield Turn(
            point=f"after {row * TIMES * QUEUED:,}", variant=CURL, round=0, numbers={**numbers, **sizes}
        )


def _sizes(installation: Installation) -> Numbers:
    """Return what each table takes with its indexes, what it would take anew, and the queue's index."""
    watch, sizes = installation.watch, {}
    for table in TABLES:
        name = f"deliveries_{table}"
        watch.execute(f"CREATE TABLE bench.anew (LIKE {name} INCLUDING ALL)".encode())
        # Its pages are filled as far as those of the table.
        for (option,) in watch.execute(
            "SELECT unnest(reloptions) FROM pg_class WHERE oid = %s::regclass", [name]
        ).fetchall():
            watch.execute(f"ALTER TABLE bench.anew SET ({option})".encode())
        watch.execute(f"INSERT INTO bench.anew SELECT * FROM {name}".encode())
        for which, relation in ((table, name), (f"{table} anew", "bench.anew")):
            sizes[which] = _bytes(installation, f"pg_total_relation_size('{relation}')")
        watch.execute("DROP TABLE bench.anew")
    sizes["queue"] = _bytes(installation, "pg_relation_size('deliveries_queue')")
    sizes["leased"] = _bytes(installation, "pg_relation_size('deliveries_leased')")
    return sizes


def _bytes(installation: Installation, size: str) -> float:
    (taken,) = installation.watch.execute(f"SELECT {size}".encode()).fetchone() or (0,)
    return float(taken)


CASE = Case(
    name="bloat",
    title="What a million deliveries leave behind",
    says=f"""\
A million deliveries to 100 webhooks, {QUEUED:,} at a time; nothing is deleted, and PostgreSQL cleans up when
it likes. "Anew" is what the same rows take in a fresh table with the same indexes, written in one go. The two
small indexes hold what is queued and what is under way, which is nothing at the end.""",
    seconds=900,
    when="asked",
    columns=(
        Column(title="CPU per delivery, µs", value=cpu_per("deliveries")),
        Column(title="deliveries, MB", value=plain("delivery", times=1 / MEGABYTE)),
        Column(title="deliveries anew", value=plain("delivery anew", times=1 / MEGABYTE)),
        Column(title="index of the queue", value=plain("queue", times=1 / MEGABYTE), digits=1),
        Column(title="of what is under way", value=plain("leased", times=1 / MEGABYTE), digits=1),
        Column(title="health, MB", value=plain("webhookhealth", times=1 / MEGABYTE), digits=2),
        Column(title="health anew", value=plain("webhookhealth anew", times=1 / MEGABYTE), digits=2),
        Column(title="traffic, MB", value=plain("trafficminute", times=1 / MEGABYTE), digits=2),
        Column(title="traffic anew", value=plain("trafficminute anew", times=1 / MEGABYTE), digits=2),
    ),
    measure=measure,
)
