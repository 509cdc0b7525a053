# SPDX-License-Identifier: EUPL-1.2
"""Streams that are under way when what let them in changes or ends: they are cut, said to be so, and only they."""

import contextlib
import fcntl
import json
import os
import re
import signal
import sys
import termios
import threading
import time

import pytest

from callers import H2, Reset, read_answer
from conftest import check_end
from devices import Authority, ends_at
from forger import Signer, with_own_provider
from scenery import Line
from world import World, free_port, until

FREE, TOKEN, DEVICE, REAL = (f"live-{name}.finance.localhost" for name in ("free", "token", "device", "real"))
OWN = "https://own.finance.example"
CANCEL = 8
both_protocols = pytest.mark.parametrize("http", ["1.1", "2"])
OPEN_RULE = "id: live-everybody\n        permit: {}"


@pytest.fixture(scope="module")
def signer():
    return Signer("own-1")


@pytest.fixture(scope="module")
def gate(signer):
    with World(workers=2, hosts=[FREE, TOKEN, DEVICE, REAL]) as made:
        made.begin()
        upstream = f"upstreams: [http://127.0.0.1:{made.origin.port}]"
        made.update("finance", lambda text: with_own_provider(text, signer, OWN, "leeway: 0s") + f"""
  - id: live-free
    host: {FREE}
    device: optional
    {upstream}
    rules:
      - id: live-everybody
        permit: {{}}
  - id: live-token
    host: {TOKEN}
    device: none
    identity_providers: [own]
    {upstream}
    rules:
      - id: live-users
        permit: {{}}
        when: 'user.subject != ""'
  - id: live-device
    host: {DEVICE}
    device: required
    {upstream}
    rules:
      - id: live-managed
        permit: {{}}
        when: 'device.trust == "managed"'
  - id: live-real
    host: {REAL}
    device: none
    identity_providers: [fas]
    {upstream}
    rules:
      - id: live-people
        permit: {{}}
        when: 'user.subject != ""'
""")
        yield made
        check_end(made)


@pytest.fixture(autouse=True)
def origin_goes_on(gate):
    """What an earlier test left waiting at the origin ends."""
    gate.origin.clear()
    yield
    gate.origin.release.set()
    until(lambda: gate.metric("belfry_requests_open") == 0, "something is left")


class Stream:
    """Server-sent events under way, over HTTP/1.1 or HTTP/2: the first has come."""

    def __init__(self, world, host, http, cert=None, token=None, cookie=None):
        self.world, self.http = world, http
        headers = [("authorization", f"Bearer {token}")] if token else [("cookie", cookie)] if cookie else []
        if http == "2":
            self.h2 = H2(world.tls(host, cert, alpn=("h2",)))
            self.stream = self.h2.begin(host, "/events", headers=headers)
            while not self.h2.streams[self.stream][1]:
                self.h2.turn()
            self.reference = dict(self.h2.streams[self.stream][0])["belfry-reference"]
        else:
            self.tls = world.tls(host, cert)
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
            self.tls.sendall(f"GET /events HTTP/1.1\r\nhost: {host}\r\n{lines}\r\n".encode())
            answer, self.rest = read_answer(self.tls, to_head=True)
            assert answer.status == 200
            while b"data: 1" not in self.rest:
                self.rest += self.tls.recv(65536)
            self.reference = answer.get("belfry-reference")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        (self.h2.tls if self.http == "2" else self.tls).close()

    def is_cut(self, reason, within_s=10):
        """Waits for the cut; checks how it is said to the client and to the audit."""
        if self.http == "2":
            self.h2.tls.settimeout(within_s)
            with pytest.raises(Reset) as reset:
                self.h2.end(self.stream)
            assert reset.value.code == CANCEL
            assert self.h2.streams[self.stream][1] == b"data: 1\n\n"
        else:
            self.tls.settimeout(within_s)
            self.rest += b"".join(iter(lambda: self.tls.recv(65536), b""))
            assert not self.rest.endswith(b"0\r\n\r\n") and b"data: 2" not in self.rest
        end = self.end_event()
        assert (end["belfry.reason_code"], end["belfry.detail"]) == ("access_withdrawn", reason)
        assert self.world.decision(self.reference)["belfry.reason_code"] == "permitted"

    def end_event(self):
        (end,) = until(lambda: [e for e in self.world.events(self.reference) if e["event.action"] == "access-end"],
                       "no access-end")
        return end

    def goes_on(self):
        """To its end, whole."""
        self.world.origin.release.set()
        if self.http == "2":
            assert self.h2.end(self.stream).body == b"data: 1\n\ndata: 2\n\n"
        else:
            while not self.rest.endswith(b"0\r\n\r\n"):
                piece = self.tls.recv(65536)
                assert piece, self.rest
                self.rest += piece
            assert b"data: 2" in self.rest
        assert self.end_event()["belfry.reason_code"] == "permitted"


@contextlib.contextmanager
def changed(world, old, new):
    """The bundle is another one meanwhile."""
    kept = (world.folder / "policy/finance.yaml").read_text()
    assert kept.count(old) == 1, old
    world.update("finance", lambda text: text.replace(old, new))
    try:
        yield
    finally:
        world.update("finance", lambda now: as_new(kept, now))


def as_new(kept, now):
    """What was kept, with the serial of now."""
    return re.sub(r"(?m)^serial: .*$", re.search(r"(?m)^serial: .*$", now)[0], kept, count=1)


@contextlib.contextmanager
def charter(world, change):
    path = world.folder / "policy/charter.yaml"

    def to(make):
        before = world.metric("belfry_snapshot")
        made = make(path.read_text())
        path.write_text(re.sub(r"(?m)^serial: (\d+)$", lambda m: f"serial: {int(m[1]) + 1}", made, count=1))
        world.publish_charter()
        until(lambda: world.metric("belfry_snapshot") > before, "the new charter is not live")

    kept = path.read_text()
    to(change)
    try:
        yield
    finally:
        to(lambda now: as_new(kept, now))


CLOSED_RULE = 'id: live-everybody\n        permit: { paths: ["/other/**"] }'


@both_protocols
def test_a_stream_is_cut_when_its_rule_is_withdrawn(gate, http):
    before = gate.metric('belfry_exchanges_total{reason="access_withdrawn"}') or 0
    with Stream(gate, FREE, http) as stream, changed(gate, OPEN_RULE, CLOSED_RULE):
        stream.is_cut("denied")
    assert re.search(r'belfry_exchanges_total\{reason="access_withdrawn"\} [1-9]', gate.admin("/metrics")[1]), before


@both_protocols
def test_a_stream_is_cut_when_a_forbid_comes(gate, http):
    forbid = OPEN_RULE + '\n      - id: live-never\n        forbid: { paths: ["/events"] }'
    with Stream(gate, FREE, http) as stream, changed(gate, OPEN_RULE, forbid):
        stream.is_cut("forbidden")


@both_protocols
def test_a_stream_is_cut_when_the_rule_that_let_it_in_expires(gate, http):
    ends = int(time.time()) + 4
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ends))
    with changed(gate, OPEN_RULE, f"{OPEN_RULE}\n        expires: {stamp}"):
        with Stream(gate, FREE, http) as stream:
            assert gate.ask(FREE).status == 200
            stream.is_cut("denied")
            assert ends <= time.time() < ends + 2
        assert gate.ask(FREE).status == 403, "no reload was needed"


def test_a_rule_in_shadow_is_seen_in_audit_and_metrics_only(gate):
    trial = OPEN_RULE + '\n      - id: live-trial\n        forbid: { paths: ["/trial"] }\n        mode: shadow'
    with changed(gate, OPEN_RULE, trial):
        before = gate.metric("belfry_shadow_differences_total")
        answers = [gate.ask(FREE, path) for path in ("/trial", "/other")]
        assert [answer.status for answer in answers] == [200, 200]
        events = [gate.decision(answer.get("belfry-reference")) for answer in answers]
        assert [event.get("belfry.shadow.rule") for event in events] == ["live-trial", None]
        until(lambda: gate.metric("belfry_shadow_differences_total") == before + 1, "it is not counted")


@both_protocols
def test_a_stream_is_cut_when_its_application_goes(gate, http):
    with Stream(gate, FREE, http) as stream, changed(gate, f"host: {FREE}", "host: elsewhere.finance.localhost"):
        stream.is_cut("not_delegated")


@both_protocols
@pytest.mark.parametrize("what", ["host", "key"])
def test_a_stream_is_cut_when_the_charter_withdraws(gate, http, what):
    def change(text):
        return (text.replace('hosts: ["*.finance.localhost"]', 'hosts: ["*.nowhere.localhost"]') if what == "host" else
                text.replace(gate.keys["finance"][1], gate.keys["health"][1], 1))

    with Stream(gate, FREE, http) as stream, charter(gate, change):
        stream.is_cut("not_delegated")
    until(lambda: gate.ask(FREE).status == 200, "it does not come back")


@both_protocols
def test_a_stream_is_cut_when_the_charter_ends(new_world, http):
    world = new_world(workers=1)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3))
    with charter(world, lambda text: re.sub(r"(?m)^not_after: .*$", f"not_after: {stamp}", text, count=1)):
        with Stream(world, "open.finance.localhost", http) as stream:
            stream.is_cut("policy_expired")
        # So that there is something to put back to.
        world.origin.release.set()


@both_protocols
def test_a_stream_is_cut_when_its_token_expires(gate, signer, http):
    token = signer.token(OWN, "own-api", payload={"exp": int(time.time()) + 2})
    with Stream(gate, TOKEN, http, token=token) as stream:
        begun = time.monotonic()
        stream.is_cut("token_expired")
        assert 0.5 < time.monotonic() - begun < 4


@both_protocols
def test_a_stream_is_cut_when_its_device_certificate_expires(gate, http):
    pair = Authority.of(gate, "finance-devices").device(gate, f"short-{http[0]}", valid_s=3)
    with Stream(gate, DEVICE, http, cert=f"short-{http[0]}") as stream:
        stream.is_cut("device_invalid")
        assert time.time() >= ends_at(pair)


@both_protocols
def test_a_stream_is_cut_when_its_device_authority_is_removed(gate, http):
    authority = """\
  - id: finance-laptops
    trust: managed
    device_name: subject.CN
    ca_file: finance-devices.pem
"""
    with Stream(gate, DEVICE, http, cert="laptop-0001") as stream, changed(gate, authority, ""):
        stream.is_cut("device_invalid")


@both_protocols
def test_a_stream_is_cut_when_its_application_wants_a_device(gate, http):
    old = f"host: {FREE}\n    device: optional"
    with Stream(gate, FREE, http) as stream, Stream(gate, FREE, http, cert="laptop-0001") as known:
        with changed(gate, old, old.replace("optional", "required")):
            stream.is_cut("device_required")
        known.goes_on()


@both_protocols
def test_a_stream_is_cut_when_its_provider_goes(gate, signer, http):
    token = signer.token(OWN, "own-api")
    old = f"host: {TOKEN}\n    device: none\n    identity_providers: [own]"
    with Stream(gate, TOKEN, http, token=token) as stream, changed(gate, old, old.replace("own]", "fas]")):
        stream.is_cut("token_issuer")


@both_protocols
def test_a_stream_is_cut_when_a_condition_no_longer_holds(gate, signer, http):
    token = signer.token(OWN, "own-api")
    old = "id: live-users\n        permit: {}\n        when: 'user.subject != \"\"'"
    with Stream(gate, TOKEN, http, token=token) as stream:
        with changed(gate, old, old.replace('!= ""', '== "another"')):
            stream.is_cut("denied")


def test_a_slow_upload_that_has_no_answer_yet_is_refused_in_words(gate):
    with H2(gate.tls(FREE, alpn=("h2",))) as h2, gate.tls(FREE) as h1:
        stream = h2.begin(FREE, "/echo", method="POST", body=b"a" * 1000, end=False)
        h1.sendall(f"POST /echo HTTP/1.1\r\nhost: {FREE}\r\ncontent-length: 5000\r\n\r\nhello".encode())
        until(lambda: len(gate.origin.seen("/echo")) == 2, "the uploads do not arrive")
        with changed(gate, OPEN_RULE, CLOSED_RULE):
            answers = [h2.end(stream), read_answer(h1)[0]]
        for answer in answers:
            assert (answer.status, answer.problem) == (403, "denied")
            (end,) = until(lambda: [e for e in gate.events(answer.get("belfry-reference"))
                                    if e["event.action"] == "access-end"], "no access-end")
            assert end["belfry.reason_code"] == "denied" and end["http.response.status_code"] == 403
        assert not h1.recv(1)  # what it still sends has no place
    until(lambda: all(r.connection not in gate.origin.peers for r in gate.origin.seen("/echo")), "half a request is held")


@both_protocols
def test_a_request_that_waits_for_its_head_is_refused_in_words(gate, http):
    answers = []
    asker = threading.Thread(target=lambda: answers.append(gate.ask(FREE, "/wait", http=http)))
    asker.start()
    until(lambda: gate.origin.seen("/wait"), "it does not arrive")
    with changed(gate, OPEN_RULE, CLOSED_RULE):
        asker.join(10)
    assert (answers[0].status, answers[0].problem) == (403, "denied")


def test_a_stream_that_stays_allowed_lives_through_publishes_and_holds_none_of_them(gate, signer):
    token = signer.token(OWN, "own-api")
    with contextlib.ExitStack() as all_of_them:
        streams = [all_of_them.enter_context(Stream(gate, host, http, **who)) for http in ("1.1", "2")
                   for host, who in ((FREE, {}), (TOKEN, {"token": token}), (DEVICE, {"cert": "laptop-0001"}))]
        for i in range(20):
            gate.update("finance", lambda text: text)
        until(lambda: gate.metric("belfry_snapshots_alive") <= 2, "old ones live on", limit_s=3)
        for stream in streams:
            stream.goes_on()


def test_what_is_cut_costs_the_connection_nothing(gate):
    """More than a hundred streams cut by us are no flood of the client's."""
    with H2(gate.tls(FREE, alpn=("h2",))) as h2:
        for _ in range(3):
            streams = [h2.begin(FREE, "/events") for _ in range(95)]
            while not all(h2.streams[s][1] for s in streams):
                h2.turn()
            with changed(gate, OPEN_RULE, CLOSED_RULE):
                for s in streams:
                    with pytest.raises(Reset) as reset:
                        h2.end(s)
                    assert reset.value.code == CANCEL
            gate.origin.release.set()
            gate.origin.clear()
        assert h2.ask(FREE, "/after").status == 200 and h2.goaway is None


# Tokens are judged by the keys of now


def provider(world, method, path):
    line = Line(int(world.providers["finance"]["issuer"].rsplit(":", 1)[1]), "idp.localhost", world.trust)
    status, _, body = line.ask(method, path)
    line.close()
    assert status == 200
    return json.loads(body)


@contextlib.contextmanager
def stopped(process):
    os.kill(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process.pid, signal.SIGCONT)


def test_a_request_that_waited_for_keys_is_judged_by_the_rules_of_now(gate):
    """It came under rules that let it in; while the provider was slow they were withdrawn."""
    provider(gate, "POST", "/demo/rotate")
    token = gate.token("finance", "anna")
    answers = []
    old = "id: live-people\n        permit: {}"
    asker = threading.Thread(target=lambda: answers.append(gate.ask(REAL, "/events", token=token, http="2")))
    before = gate.metric("belfry_requests_total")
    with stopped(gate.processes["idp-finance"]):
        asker.start()
        until(lambda: gate.metric("belfry_requests_total") > before, "it does not arrive")
        before = gate.metric("belfry_snapshot")
        gate.edit("finance", lambda text: text.replace(old, old.replace("{}", '{ paths: ["/other/**"] }')))
        gate.publish("finance")
        until(lambda: gate.metric("belfry_snapshot") > before, "the new bundle is not live")
        assert asker.is_alive(), "it did not wait"
    asker.join(10)
    gate.update("finance", lambda text: text.replace(old.replace("{}", '{ paths: ["/other/**"] }'), old))
    assert answers[0].problem == "denied", answers
    assert not gate.origin.seen("/events")


@both_protocols
def test_a_stream_is_kept_while_keys_are_not_available_and_judged_when_they_are(gate, http):
    token = gate.token("finance", "anna")
    until(lambda: gate.ask(REAL, token=token).status == 200, "no keys")
    issuer = gate.providers["finance"]["issuer"]
    nowhere = f"    jwks_uri: https://idp.localhost:{free_port()}/jwks\n"
    old = f"    issuer: {issuer}\n"
    with Stream(gate, REAL, http, token=token) as stream:
        with changed(gate, old, old + nowhere):
            until(lambda: gate.ask(REAL, token=token).problem == "keys_unavailable", "there are keys")
            time.sleep(0.3)  # it is judged again and again meanwhile, three times at least
        until(lambda: gate.ask(REAL, token=token).status == 200, "no keys again")
        stream.goes_on()


@pytest.mark.parametrize("http", ["2"])
def test_a_stream_is_cut_when_the_key_of_its_token_is_gone(gate, http):
    token = gate.token("finance", "anna")
    until(lambda: gate.ask(REAL, token=token).status == 200, "no keys")
    with Stream(gate, REAL, http, token=token) as stream:
        provider(gate, "POST", "/demo/rotate?drop=1")
        newest = gate.token("finance", "anna")
        until(lambda: gate.ask(REAL, token=newest).status == 200, "the newest keys are never fetched", limit_s=15)
        stream.is_cut("token_key_unknown")


def waiting_bytes(tls):
    """What has come and is not read."""
    return int.from_bytes(fcntl.ioctl(tls, termios.FIONREAD, b"\0" * 4), sys.byteorder)


def test_a_head_that_waits_for_its_client_outlives_the_rules_that_it_was_made_under(gate):
    """What it says of the host is the edition's, which ends with the publish: the client takes it after that."""
    with H2(gate.tls(FREE, alpn=("h2",))) as h2:
        h2.connection.update_settings({4: 2**30})  # SETTINGS_INITIAL_WINDOW_SIZE
        h2.connection.increment_flow_control_window(2**30)
        h2.flush()
        h2.begin(FREE, "/bytes/40000000")  # more than sockets hold: nothing passes behind it
        held = []
        until(lambda: held.append(waiting_bytes(h2.tls)) or (held[-1] and held[-50:].count(held[-1]) == 50), "it flows on")
        waits = h2.begin(FREE, "/fields/waits")
        until(lambda: gate.origin.seen("/fields/waits"), "the application is not asked")
        gate.update("finance", lambda text: text + "# again\n")
        gate.update("finance", lambda text: text + "# and again\n")
        answer = h2.end(waits)
    assert answer.status == 200
    assert answer.get("strict-transport-security") == "max-age=31536000"
    assert gate.ask(FREE).status == 200
