# SPDX-License-Identifier: EUPL-1.2
"""Somebody has taken the store over and may write what he likes. At most he delays: rules stay, nobody is let in who was
not before, nobody loses what he had, and it is told.

ATTACKS is the list of what is done to each key that a gateway reads; a new kind of key takes a line in KEYS."""

import re
import threading

import pytest
import redis
from cryptography.hazmat.primitives import serialization

import forger
from conftest import check_end
from world import World, until

TAX = "tax.finance.localhost"
OPEN = "open.finance.localhost"
CLAIMS = "claims.health.localhost"
EVERYBODY = "id: everybody\n        permit: {}"  # the rule of `open`
NEVER = EVERYBODY + '\n      - id: never\n        forbid: { paths: ["/never-again/**"] }'


@pytest.fixture(scope="module")
def hostile():
    """A gateway whose store we write to ourselves."""
    with World(workers=1) as made:
        made.begin()
        made.store_itself = redis.Redis(unix_socket_path=str(made.redis_socket))
        made.good = made.store_itself.get("belfry:bundle:fod-finance")  # the first one, soon an old one
        made.update("finance", lambda text: text.replace(EVERYBODY, NEVER, 1))
        made.documents = hostile_documents(made)
        yield made
        check_end(made)


def is_as_it_was(world):
    """Each kind of answer, with nothing that is only remembered: the token is new."""
    token = world.token("finance", "anna")
    return (world.ask(OPEN, "/1").status == 200 and world.ask(OPEN, "/never-again/1").problem == "forbidden"
            and world.ask(TAX, "/declarations/1", cert="laptop-0001", token=token).status == 200
            and world.ask(TAX, "/declarations/1", cert="laptop-0001").status == 401
            and world.ask(CLAIMS, cert="tablet-0001", token=world.token("health", "dirk")).status == 200)


# Documents


def put(world, key, document, serial):
    """As the publisher does it: document, serial and event together."""
    store = world.store_itself
    kind, entity = ("charter", "") if key == "charter" else ("bundle", key.split(":")[1])
    with store.pipeline() as all_at_once:
        all_at_once.set(f"belfry:{key}", document)
        all_at_once.hset("belfry:serials", key, serial)
        all_at_once.incr("belfry:count")
        n = int(store.get("belfry:count") or 0) + 1
        all_at_once.xadd("belfry:events", {"epoch": store.get("belfry:epoch"), "n": n, "kind": kind, "entity": entity,
                                           "serial": serial})
        all_at_once.execute()


def line(world, kind, payload, name, key_id=None):
    """One signature's line, made by the key of that name as policy/envelope.h says."""
    path = world.folder / "keys" / f"{name}.key"
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    signature = forger.b64(key.sign(f"belfry-signed/v1 {kind} {len(payload)}\n".encode() + payload))
    return f"signature: {key_id or world.keys[name][0]} {signature}\n".encode()


def envelope(payload, *lines):
    return b"belfry-signed/v1\n" + b"".join(lines) + b"\n" + payload


def sealed(world, kind, payload, name, key_id=None):
    return envelope(payload, line(world, kind, payload, name, key_id))


def changed(document, old, new):
    assert old in document
    return document.replace(old, new, 1)


def hostile_documents(world):
    store = world.store_itself
    bundle, charter = store.get("belfry:bundle:fod-finance"), store.get("belfry:charter")
    head, _, payload = bundle.partition(b"\n\n")
    serial = re.search(rb"(?m)^serial: (\d+)$", payload)[0]
    newer = changed(payload, serial, b"serial: 500")
    hosts = charter.partition(b"\n\n")[2]
    own, finance = line(world, "bundle", newer, "finance"), world.keys["finance"][0]
    newer_charter = changed(hosts, b"serial: 1", b"serial: 2")

    def ours(kind, text, name, key_id=None):
        return ("charter" if kind == "charter" else "bundle:fod-finance"), sealed(world, kind, text, name, key_id)

    def yaml(text):
        return ours("bundle", text if isinstance(text, bytes) else newer + text.encode(), "finance")

    def bare(*parts):
        return "bundle:fod-finance", b"".join(parts)

    return {
        "garbage": bare(b"\0\xff" * 500),
        "nothing": bare(b""),
        "no signature": bare(envelope(newer)),
        "the payload alone": bare(newer),
        "a signature behind the text": bare(envelope(newer), own),
        "a signature in a comment": bare(envelope(b"# " + own + newer)),
        "a signature twice": bare(envelope(newer, own, own)),
        "a signature and an empty one": bare(envelope(newer, own, f"signature: {finance} \n".encode())),
        "a good signature beside a bad one of a known key": bare(
            envelope(newer, line(world, "bundle", newer, "health", finance), own)),
        "a bundle in shadow in the place of one that decides": yaml("mode: shadow\n"),
        "a signature of another text": bare(envelope(newer, line(world, "bundle", payload, "finance"))),
        "a head in other letters": bare(envelope(newer, own).replace(b"belfry-signed", b"Belfry-signed", 1)),
        "lines that end as on another system": bare(envelope(newer, own.replace(b"\n", b"\r\n"))),
        "another version": bare(envelope(newer, own).replace(b"/v1", b"/v2", 1)),
        "a changed rule": bare(changed(bundle, b"never-again", b"never-agaim")),
        "a changed serial": bare(changed(bundle, serial, b"serial: 9")),
        "a changed signature": bare(changed(bundle, head[-20:], b"A" * 20)),
        "one byte more": bare(bundle, b"\n"),
        "another entity's key": ours("bundle", newer, "health"),
        "another entity's key under this one's name": ours("bundle", newer, "health", finance),
        "the federation's key": ours("bundle", newer, "federation"),
        "another entity's bundle": bare(store.get("belfry:bundle:health-agency")),
        "a bundle that says it is another entity's": ours(
            "bundle", changed(newer, b"entity: fod-finance", b"entity: health-agency"), "finance"),
        "the charter as a bundle": bare(charter),
        "a bundle that was signed as a charter": bare(sealed(world, "charter", newer, "finance")),
        "an older one": bare(world.good),
        "another one with the same serial": ours("bundle", changed(payload, b"never-again", b"never-agaim"), "finance"),
        "one that has ended": ours("bundle", re.sub(rb"(?m)^not_after: .*$", b"not_after: 2026-01-01T00:00:00Z", newer),
                                   "finance"),
        "a host of another entity": ours(
            "bundle", changed(newer, b"host: small.finance.", b"host: small.health."), "finance"),
        "an upstream outside": ours(
            "bundle", changed(newer, f"127.0.0.1:{world.dead_port}".encode(), b"192.0.2.1:80"), "finance"),
        "one that does not load": yaml("\nsurplus: 1\n"),
        "one whose test fails": ours("bundle", newer.partition(b"\ntests:")[0] + b"\ntests:\n  - { name: x, request: "
                                     b"'GET https://open.finance.localhost/1', expect: deny }\n", "finance"),
        "an anchor": yaml(changed(newer, b"entity: ", b"entity: &a ")),
        "an alias": yaml(changed(newer, b"serial: 500", b"serial: *a")),
        "aliases that grow": yaml("x: &x [a, a]\n" + "".join(f"x{i}: &x{i} [*x, *x, *x]\n" for i in range(30))),
        "a merge key": yaml("\n<<: { serial: 501 }\n"),
        "a key twice": yaml("\nserial: 501\n"),
        "a tag": yaml(changed(newer, b"entity: ", b"entity: !!str ")),
        "another version of YAML": yaml(b"%YAML 1.1\n---\n" + newer),
        "two texts": yaml("\n---\nbelfry: entity/v1\n"),
        "depth": yaml(newer + b"\ndeep: " + b"[" * 100_000),
        "what is no UTF-8": yaml(newer + b"\n# \xff\xfe\n"),
        "UTF-16": yaml(newer.decode().encode("utf-16")),
        "a NUL": yaml(newer + b"\n# \0\n"),
        "a bundle as the charter": ("charter", bundle),
        "a charter by an entity": ours("charter", newer_charter, "finance"),
        "a charter by an entity under the federation's name": ours("charter", newer_charter, "finance",
                                                                   world.keys["federation"][0]),
        "a changed charter": ("charter", changed(charter, b"*.finance.localhost", b"*.finance.localhosu")),
        "a charter with the same serial": ours("charter", changed(hosts, b"FOD Finance", b"FOD Finanze"), "federation"),
        "a charter that has ended": ours("charter", re.sub(rb"(?m)^not_after: .*$", b"not_after: 2026-01-01T00:00:00Z",
                                                           newer_charter), "federation"),
        "a charter that gives a host to two": ours("charter", changed(newer_charter, b'["*.health.localhost"',
                                                                      b'["*.finance.localhost"'), "federation"),
    }


HOSTILE = re.findall(r'(?m)^        "([^"]+)": (?:\("|bare|ours|yaml)', open(__file__).read())


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_document_never_replaces_a_good_one(hostile, name):
    world, store = hostile, hostile.store_itself
    key, document = world.documents[name]
    good = store.get(f"belfry:{key}"), int(store.hget("belfry:serials", key))
    refused = world.metric("belfry_bundles_refused_total")
    log = len(world.log_text())
    serial = world.serial = getattr(world, "serial", 1000) + 1
    put(world, key, document, serial)
    try:
        until(lambda: "is not activated" in world.log_text()[log:] or "no document" in world.log_text()[log:],
              "the log says nothing")
        told = world.log_text()[log:]
        if name != "nothing":  # which is not even a document
            until(lambda: world.metric("belfry_bundles_refused_total") > refused, "no metric")
            until(lambda: "degraded documents: 1 " in world.admin("/readyz")[1], "readiness says nothing")
            assert ("charter is not activated" if key == "charter" else "bundle of fod-finance is not") in told
        assert world.admin("/readyz")[0] == 200
        assert is_as_it_was(world)
    finally:
        put(world, key, good[0], good[1])
        until(lambda: "degraded documents" not in world.admin("/readyz")[1], "the good one does not come back")


def test_all_documents_are_played(hostile):
    assert set(HOSTILE) == set(hostile.documents) and len(HOSTILE) > 45


# Keys

KEYS = ["belfry:charter", "belfry:bundle:fod-finance", "belfry:bundle:health-agency", "belfry:serials", "belfry:epoch",
        "belfry:count", "belfry:events"]
HUGE = b"9" * (9 << 20)
ATTACKS = {
    "deleted": lambda store, key: None,
    "a list": lambda store, key: store.rpush(key, "x", "y"),
    "a set": lambda store, key: store.sadd(key, "x"),
    "a hash": lambda store, key: store.hset(key, mapping={"charter": "x", "bundle:fod-finance": "-1", "": "", "\0": "1"}),
    "a stream": lambda store, key: store.xadd(key, {"epoch": "x"}),
    "empty": lambda store, key: store.set(key, ""),
    "nonsense": lambda store, key: store.set(key, b"\0\xff\r\n$5\r\n-ERR"),
    "a huge number": lambda store, key: store.set(key, "9223372036854775807"),
    "huge": lambda store, key: store.set(key, HUGE),
}


def writes(world, change):
    """Does it, and then what makes a gateway look."""
    store = world.store_itself
    change(store)
    try:
        store.xadd("belfry:events", {"epoch": "another", "n": "1", "kind": "bundle", "entity": "fod-finance", "serial": "1"})
    except redis.ResponseError:  # it is no stream any more
        pass


def reads(world):
    """How often it has looked at the store: read all of it, or lost it."""
    return world.metric("belfry_store_resyncs_total"), world.metric("belfry_store_connected")


ALWAYS = ["a list", "nonsense"]  # the others take minutes


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("attack", [pytest.param(a, marks=() if a in ALWAYS else pytest.mark.long) for a in ATTACKS])
def test_whatever_is_done_to_a_key_takes_and_gives_nothing(hostile, key, attack):
    world, store = hostile, hostile.store_itself
    kept = {name: store.dump(name) for name in store.keys("belfry:*")}
    before = reads(world)
    store.delete(key)
    writes(world, lambda store: ATTACKS[attack](store, key))
    try:
        until(lambda: reads(world) != before, "it does not look")
        assert is_as_it_was(world)
    finally:
        for name in store.keys("belfry:*"):
            store.delete(name)
        for name, value in kept.items():
            store.restore(name, 0, value, replace=True)  # a gateway may write back its own
        writes(world, lambda store: None)  # same serials under the same epoch: nothing else says that all is new
        until(lambda: world.metric("belfry_store_connected") == 1, "it does not recover", limit_s=20)
        until(lambda: "degraded documents" not in world.admin("/readyz")[1], "the good ones do not come back", limit_s=20)
    assert is_as_it_was(world)


NONSENSE = [
    {"epoch": "", "n": "", "kind": "", "entity": "", "serial": ""},
    {"n": "-1"}, {"n": "1e3"}, {"n": "99999999999999999999"}, {"serial": "0"}, {"serial": "-5"}, {"serial": "9" * 40},
    {"kind": "charter", "entity": "fod-finance"}, {"kind": "bundle", "entity": ""}, {"kind": "surplus"},
    {"entity": "../../etc/passwd"}, {"entity": "x" * 10_000}, {"entity": "\0"}, {"entity": "fod-finance\r\nDEL x"},
    {"epoch": "x" * 100_000}, {"surplus": "x" * 1_000_000},
]


def event(world, **fields):
    store = world.store_itself
    good = {"epoch": store.get("belfry:epoch"), "n": int(store.get("belfry:count")) + 1, "kind": "bundle",
            "entity": "fod-finance", "serial": 1}
    return good | fields


@pytest.mark.parametrize("number", range(len(NONSENSE)))
def test_an_event_of_nonsense_changes_nothing(hostile, number):
    world, store = hostile, hostile.store_itself
    store.xadd("belfry:events", event(world, **NONSENSE[number]))
    log = len(world.log_text())
    world.edit("finance", lambda text: text)  # what is published behind it is taken
    world.publish("finance")
    serial = int(re.search(rb"(?m)^serial: (\d+)$", store.get("belfry:bundle:fod-finance"))[1])
    until(lambda: remembered(world) == serial, f"not taken: {world.log_text()[log:]}", 20)
    assert is_as_it_was(world)


def remembered(world):
    text = (world.folder / "state/serials").read_text()
    return int(re.search(r"(?m)^bundle fod-finance (\d+) ", text)[1])


def test_a_flood_of_events_keeps_nobody_waiting(hostile):
    world = hostile
    ends = threading.Event()

    def flood():
        mine = redis.Redis(unix_socket_path=str(world.redis_socket))
        while not ends.is_set():
            with mine.pipeline(transaction=False) as many:
                for _ in range(500):
                    many.xadd("belfry:events", {"epoch": "x", "n": "7", "kind": "bundle", "entity": "y", "serial": "1"},
                              maxlen=1000)
                many.execute()

    flooder = threading.Thread(target=flood)
    resyncs = world.metric("belfry_store_resyncs_total")
    flooder.start()
    try:
        world.update("finance", lambda text: text)  # is live all the same
        assert is_as_it_was(world)
        assert world.metric("belfry_store_resyncs_total") - resyncs < 60  # not one for each
    finally:
        ends.set()
        flooder.join()
    until(lambda: world.metric("belfry_store_connected") == 1, "it does not recover", limit_s=20)
    assert is_as_it_was(world)


def test_a_store_that_hides_or_breaks_everything_takes_nothing_away(hostile):
    world, store = hostile, hostile.store_itself
    resyncs = world.metric("belfry_store_resyncs_total")
    store.xadd("belfry:events", {"epoch": "another", "n": 7, "kind": "bundle", "entity": "fod-finance", "serial": 1})
    until(lambda: world.metric("belfry_store_resyncs_total") > resyncs, "it does not read all again")
    kept = {key: store.dump(key) for key in store.keys("belfry:*")}
    store.delete(*kept)
    store.set("belfry:events", "no stream")
    store.set("belfry:serials", "no hash")
    until(lambda: world.metric("belfry_store_connected") == 0, "it does not notice")
    assert is_as_it_was(world)
    store.delete("belfry:events", "belfry:serials")
    for key, value in kept.items():
        store.restore(key, 0, value, replace=True)
    until(lambda: world.metric("belfry_store_connected") == 1, "it does not recover", limit_s=20)
    assert is_as_it_was(world)


def test_what_was_seen_can_not_be_taken_back_by_a_restart(hostile):
    """The old bundle of the store is refused by what state_dir remembers."""
    world, store = hostile, hostile.store_itself
    good = store.get("belfry:bundle:fod-finance"), int(store.hget("belfry:serials", "bundle:fod-finance"))
    assert world.stop("gateway") == 0
    put(world, "bundle:fod-finance", world.good, 1)
    world.start_gateway()
    world.wait_gateway()
    until(lambda: "degraded documents: 1 " in world.admin("/readyz")[1], "the old one is not refused")
    assert "is older than one seen before" in world.log_text()
    assert world.ask(OPEN, "/never-again/1").problem == "forbidden"
    put(world, "bundle:fod-finance", *good)
    until(lambda: "degraded documents" not in world.admin("/readyz")[1], "the good one does not come back")
