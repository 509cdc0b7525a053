# SPDX-License-Identifier: EUPL-1.2
"""What an entity knows of its devices: imported, asked for by rules, changed under streams that live, and what becomes
of it when the store is away or lies."""

import base64
import json
import subprocess

import pytest
import redis

from conftest import check_end
from test_live import Stream, stopped
from world import World, until

MAYBE, LISTED, OWNED, LIVE = ("maybe.finance.localhost", *(f"inventory-{name}.finance.localhost"
                                                           for name in ("listed", "owned", "live")))
LAPTOP = "finance-laptops:laptop-0001"


@pytest.fixture(scope="module")
def gate():
    with World(workers=2, hosts=[LISTED, OWNED, LIVE]) as made:
        made.begin()
        made.update("finance", lambda text: text.replace(
            "    ca_file: finance-devices.pem\n", "    ca_file: finance-devices.pem\n    inventory: optional\n") + f"""
  - id: inventory-listed
    host: {LISTED}
    device: required
    inventory: required
    upstreams: [http://127.0.0.1:{made.origin.port}]
    rules:
      - id: listed
        permit: {{}}
  - id: inventory-owned
    host: {OWNED}
    device: required
    identity_providers: [fas]
    upstreams: [http://127.0.0.1:{made.origin.port}]
    rules:
      - id: owners
        permit: {{}}
        when: 'device.compliant && device.owner == user.id'
  - id: inventory-live
    host: {LIVE}
    device: required
    upstreams: [http://127.0.0.1:{made.origin.port}]
    rules:
      - id: compliant
        permit: {{}}
        when: 'device.compliant && device.attributes["site"] == "Namur"'
""")
        yield made
        check_end(made)


def device(gate, *words, code=0, entity="fod-finance"):
    done = subprocess.run([gate.belfry, "device", *map(str, words), "--entity", entity, "-c", gate.config],
                          capture_output=True, text=True, timeout=30)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done.stdout + done.stderr


def store(gate, *words):
    """As who has taken Redis over."""
    return redis.Redis(unix_socket_path=str(gate.redis_socket)).execute_command(*words)


def hash_of(gate):
    (name,) = [key for key in store(gate, "KEYS", "belfry:device:*") if store(gate, "TYPE", key) == b"hash"]
    return name


def seen(gate, host, **more):
    answer = gate.ask(host, "/managed/1", cert="laptop-0001", **more)
    return answer.status, answer.problem


def until_seen(gate, host, expected, **more):
    until(lambda: seen(gate, host, **more) == expected, f"not {expected}")


@pytest.fixture(autouse=True)
def empty(gate):
    yield
    for line in device(gate, "list").splitlines():
        if "\t" in line:
            device(gate, "remove", line.split("\t")[0])
    for key in store(gate, "KEYS", "belfry:device:*"):
        store(gate, "DEL", key)


def test_a_device_that_is_not_listed_is_refused_where_it_must_be(gate):
    until_seen(gate, LISTED, (403, "device_unlisted"))
    assert seen(gate, MAYBE) == (200, None)
    device(gate, "set", LAPTOP, "model=X1")
    until_seen(gate, LISTED, (200, None))
    device(gate, "remove", LAPTOP)
    until_seen(gate, LISTED, (403, "device_unlisted"))


def test_the_inventory_of_another_entity_says_nothing_here(gate):
    device(gate, "set", LAPTOP, "model=X1", entity="health-agency")
    assert "1 devices" in device(gate, "list", entity="health-agency")
    assert "0 devices" in device(gate, "list")
    until_seen(gate, LISTED, (403, "device_unlisted"))
    device(gate, "remove", LAPTOP, entity="health-agency")


def test_a_device_is_bound_to_its_owner(gate):
    token = gate.token("finance", "anna")
    payload = token.split(".")[1]
    subject = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["sub"]
    device(gate, "set", LAPTOP, "compliant=true", f"owner=fas:{subject}")
    until_seen(gate, OWNED, (200, None), token=token)
    device(gate, "set", LAPTOP, "owner=fas:somebody")
    until_seen(gate, OWNED, (403, "denied"), token=token)


@pytest.mark.parametrize("http", ["1.1", "2"])
def test_a_stream_is_cut_when_its_device_is_no_longer_compliant(gate, http):
    device(gate, "set", LAPTOP, "compliant=true", "site=Namur")
    until_seen(gate, LIVE, (200, None))
    gate.origin.clear()
    with Stream(gate, LIVE, http, cert="laptop-0001") as stream:
        device(gate, "set", LAPTOP, "compliant=false")
        stream.is_cut("denied", 5)


def test_a_file_is_imported_whole_or_not_at_all(gate):
    file = gate.folder / "devices.csv"
    file.write_text('id,owner,compliant,model,last_seen,site\n'
                    f'{LAPTOP},fas:anna,true,"X1, ""Carbon""",2026-11-01T08:00:00Z,Namur\r\n'
                    'finance-laptops:laptop-0002,,false,,,\n')
    assert "would import 2 devices: 2 new, 0 changed; 0 others" in device(gate, "import", file, "--dry-run")
    assert "0 devices" in device(gate, "list")
    assert "imported 2 devices: 2 new, 0 changed; 0 others stay" in device(gate, "import", file)
    until_seen(gate, LIVE, (200, None))
    shown = device(gate, "show", LAPTOP)
    for line in ("owner: fas:anna", 'model: X1, "Carbon"', "compliant: true", "last_seen: 2026-11-01T08:00:00Z", "site: Namur"):
        assert line in shown.splitlines()
    said = json.loads(device(gate, "show", LAPTOP, "--json"))
    assert said == {"id": LAPTOP, "owner": "fas:anna", "model": 'X1, "Carbon"', "compliant": True,
                    "last_seen": "2026-11-01T08:00:00Z", "attributes": {"site": "Namur"}}
    assert [one["id"] for one in json.loads(device(gate, "list", "--json"))] == [LAPTOP, "finance-laptops:laptop-0002"]
    file.write_text("id,model,site\n"
                    "finance-laptops:laptop-0003,Y,Mons\n"
                    "laptop-0004,Y,Mons\n"
                    "finance-laptops:laptop-0005,Y\n"
                    'finance-laptops:laptop-0006,Y"Z,Mons\n'
                    "finance-laptops:laptop-0003,Y,Mons\n")
    said = device(gate, "import", file, code=1)
    for words in (":3: the id 'laptop-0004' is no AUTHORITY:NAME", ":4: there are 2 values for 3 columns",
                  ":5: a quote stands inside of a value", ":6: the device 'finance-laptops:laptop-0003' stands in the file twice",
                  "nothing was imported"):
        assert words in said
    assert "2 devices" in device(gate, "list")
    file.write_text("id,compliant,Site\n")
    assert ":1: 'Site' is no name of an attribute" in device(gate, "import", file, code=1)
    file.write_text("id,compliant\nfinance-laptops:laptop-0001,yes\n")
    assert ":2: compliant is 'true' or 'false', not 'yes'" in device(gate, "import", file, code=1)


def test_thousands_are_imported_at_once(gate):
    file = gate.folder / "many.csv"
    rows = [f"finance-laptops:many-{i:05},fas:person-{i},true\n" for i in range(5000)]
    file.write_text("id,owner,compliant\n" + "".join(rows))
    assert "imported 5000 devices: 5000 new" in device(gate, "import", file)
    assert "imported 5000 devices: 0 new, 5000 changed" in device(gate, "import", file)
    store(gate, "DEL", hash_of(gate))


def test_what_the_store_says_is_sealed_and_never_earlier(gate):
    device(gate, "set", LAPTOP, "compliant=true", "site=Namur")
    until_seen(gate, LIVE, (200, None))
    name = hash_of(gate)
    ((field, good),) = store(gate, "HGETALL", name).items()
    assert b"laptop" not in name + field + good and b"Namur" not in good
    device(gate, "set", LAPTOP, "compliant=false")
    until_seen(gate, LIVE, (403, "denied"))
    store(gate, "HSET", name, field, good)  # the earlier one, played again
    device(gate, "set", "finance-laptops:other", "compliant=true")  # news: all is read again
    until(lambda: "or an earlier one: it does not count" in gate.log_text(), "the old record was taken")
    assert seen(gate, LIVE) == (403, "denied")
    other = [f for f in store(gate, "HKEYS", name) if f != field][0]
    store(gate, "HSET", name, field, store(gate, "HGET", name, other))  # of another device
    device(gate, "set", "finance-laptops:other", "compliant=false")
    assert seen(gate, LIVE) == (403, "denied")


def test_without_the_store_what_is_known_goes_on_and_nobody_gets_in(gate):
    device(gate, "set", LAPTOP, "model=X1")
    until_seen(gate, LISTED, (200, None))
    with stopped(gate.processes["redis"]):
        assert seen(gate, LISTED) == (200, None)
        answer = gate.ask(LISTED, "/", cert="laptop-0002")
        assert (answer.status, answer.problem) == (503, "inventory_unavailable")
    until(lambda: gate.ask(LISTED, "/", cert="laptop-0002").problem == "device_unlisted", "it does not recover")
