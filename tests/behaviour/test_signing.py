# SPDX-License-Identifier: EUPL-1.2
"""Several people sign one document, apart from each other; old content comes back under a new serial; keys lie under
passphrases and are followed by others."""

import json
import os
import pty
import re
import subprocess

import pytest

from world import BELFRY, World, until

ENTITY = "fod-finance"
DOOR = "maybe.finance.localhost"


def belfry(world, *argv, stdin=b"", code=0):
    """Runs it with the store of that world; what it says. `code` is what it must end with."""
    done = subprocess.run([BELFRY, *map(str, argv)], input=stdin, capture_output=True, timeout=60, cwd=world.folder)
    said = done.stdout.decode() + done.stderr.decode()
    assert done.returncode == code, said
    return said


def policy(world, verb, *argv, code=0, **more):
    return belfry(world, "policy", verb, *argv, "-c", world.config, code=code, **more)


def make(world, name, *argv):
    """A new key: its file, and its line for a charter without the closing brace."""
    path = world.folder / "keys" / f"{name}.key"
    key_id, public = belfry(world, "key", "generate", path, *argv).split()[:2]
    return path, f'- {{ id: "{key_id}", public: "{public}", owner: {name.split("-")[0]}'


def publish_charter(world, keys, approvals=2, more=""):
    """The charter with those lines of keys for finance, under the next serial; returns when it is live."""
    path = world.folder / "policy/charter.yaml"
    text = path.read_text()
    serial = int(re.search(r"(?m)^serial: (\d+)", text)[1]) + 1
    lines = "".join(f"      {line} }}\n" for line in keys)
    text = re.sub(r"(?m)^serial: .*$", f"serial: {serial}", text)
    text = re.sub(rf"(?s)(- id: {ENTITY}\n.*?)(?:    approvals: \d+\n)?    keys:\n(?:      [^\n]*\n)+",
                  rf"\1    approvals: {approvals}\n    keys:\n{lines}", text, count=1)
    path.write_text(text + more)
    before = world.metric("belfry_snapshot")
    world.publish_charter()
    until(lambda: world.metric("belfry_snapshot") > before, "the charter is not live")


@pytest.fixture(scope="module")
def world():
    with World(workers=1) as made:
        made.begin()
        made.an, an = make(made, "an")
        made.bert, bert = make(made, "bert")
        made.twice, twice = make(made, "an-second")
        own = f'- {{ id: "{made.keys["finance"][0]}", public: "{made.keys["finance"][1]}"'
        made.lines = [own, an, bert, twice]
        publish_charter(made, made.lines)
        made.bundle = made.folder / "policy/finance.yaml"
        yield made


def door(world):
    try:
        return world.ask(DOOR, "/open/door").status
    except OSError:  # nobody has this name
        return None


def close_the_door(world):
    world.edit("finance", lambda text: text.replace('"/open/**"', '"/shut/**"'))


def open_the_door(world):
    world.edit("finance", lambda text: text.replace('"/shut/**"', '"/open/**"'))


def digest(said):
    return re.search(r"digest +([0-9a-f]{32})", said)[1]


def give_approval(world):
    """The bundle as it stands, by both."""
    policy(world, "publish", world.bundle, "--key", world.an, "--key", world.bert)


def test_two_people_sign_apart_and_only_then_it_is_live(world):
    open_the_door(world)
    give_approval(world)
    until(lambda: door(world) == 200, "the two signatures are not enough")
    close_the_door(world)
    said = policy(world, "publish", world.bundle, "--key", world.an, code=1)
    assert "1 of 2 approvals" in said and re.search(r"signed +\w+ +an\b", said) and re.search(r"missing +\w+ +bert\b", said)
    said = policy(world, "sign", world.bundle, "--key", world.an)
    assert "1 of 2 approvals" in said and f"draft of the bundle of {ENTITY}" in said
    assert "not published: 1 of 2" in policy(world, "publish", "--draft", ENTITY, code=1)
    assert f"{ENTITY}" in policy(world, "show") and "waits: 1 of 2 approvals" in policy(world, "show")
    shown = {(one["name"], one["shelf"]): one["verdict"] for one in json.loads(policy(world, "show", "--json"))}
    assert shown[ENTITY, "draft"] == "waits" and shown[ENTITY, "active"] == shown["charter", "active"] == "good"
    (draft,) = json.loads(policy(world, "show", "--draft", ENTITY, "--json"))
    assert {(one.get("owner"), one["state"]) for one in draft["approvals"]["signatures"]} >= {("an", "signed"), ("bert", "missing")}
    assert (draft["approvals"]["given"], draft["approvals"]["needed"]) == (1, 2)
    active, waiting = json.loads(policy(world, "show", ENTITY, "--json"))
    assert len(active["history"]) >= 1 and waiting["shelf"] == "draft" and waiting["serial"] > active["serial"]
    # What lies in the store may be another's: who signs says what he read.
    read = policy(world, "show", "--draft", ENTITY, "--out", world.folder / "read.yaml")
    assert "/shut/**" in (world.folder / "read.yaml").read_text()
    wrong = ("0" if digest(read)[0] != "0" else "1") + digest(read)[1:]
    assert "read it again" in policy(world, "sign", "--draft", ENTITY, "--digest", wrong, "--key", world.bert, code=1)
    assert door(world) == 200
    assert "2 of 2 approvals" in policy(world, "sign", "--draft", ENTITY, "--digest", digest(read), "--key", world.bert)
    assert "signed this already" in policy(world, "sign", "--draft", ENTITY, "--digest", digest(read), "--key", world.an,
                                           code=1)
    policy(world, "publish", "--draft", ENTITY)
    until(lambda: door(world) == 403, "what both signed is not live")
    assert "has no draft" in policy(world, "show", "--draft", ENTITY, code=1)


def test_two_keys_of_one_owner_are_one_approval_here_and_at_the_gateway(world):
    open_the_door(world)
    give_approval(world)
    until(lambda: door(world) == 200, "the door is not open")
    close_the_door(world)
    assert "1 of 2 approvals" in policy(world, "publish", world.bundle, "--key", world.an, "--key", world.twice, code=1)
    refused = world.metric("belfry_bundles_refused_total")
    belfry(world, "policy", "publish", world.bundle, "--key", world.an, "--key", world.twice, "--store", world.store)
    until(lambda: world.metric("belfry_bundles_refused_total") > refused, "the gateway does not refuse it")
    assert door(world) == 200
    open_the_door(world)
    give_approval(world)
    until(lambda: "degraded documents" not in world.admin("/readyz")[1], "the next one is not taken")


def test_a_file_goes_from_hand_to_hand_too(world):
    close_the_door(world)
    signed = world.folder / "hand.signed"
    belfry(world, "policy", "sign", world.bundle, "--key", world.an, "--out", signed)
    assert "1 of 2 approvals" in policy(world, "show", signed)
    belfry(world, "policy", "sign", signed, "--key", "-", stdin=world.bert.read_bytes())
    assert "2 of 2 approvals" in policy(world, "show", signed)
    bytes_of = signed.read_bytes()
    signed.write_bytes(bytes_of.replace(b"/shut/**", b"/shuu/**"))
    assert "does not hold" in policy(world, "publish", signed, code=1)
    signed.write_bytes(bytes_of)
    policy(world, "publish", signed)
    until(lambda: door(world) == 403, "it is not live")


def test_rolling_back_and_renewing_sign_old_content_under_a_new_serial(world):
    open_the_door(world)
    give_approval(world)
    until(lambda: door(world) == 200, "the door is not open")
    good = int(re.search(r"(?m)^serial: (\d+)", world.bundle.read_text())[1])
    close_the_door(world)
    give_approval(world)
    until(lambda: door(world) == 403, "the door is not shut")
    assert "1 of 2 approvals" in policy(world, "roll-back", ENTITY, "--to", good, "--key", world.an)
    assert door(world) == 403
    assert f"serial {good + 2}, " in policy(world, "roll-back", ENTITY, "--to", good, "--key", world.bert)
    until(lambda: door(world) == 200, "the old content is not live")
    assert "holds no document of serial 999 by" in policy(world, "roll-back", ENTITY, "--to", 999, "--key", world.an, code=1)
    policy(world, "renew", ENTITY, "--not-after", "2099-06-01T00:00:00Z", "--key", world.an, "--key", world.bert)
    now = world.folder / "now.yaml"
    assert "until 2099-06-01T00:00:00Z" in policy(world, "show", ENTITY, "--out", now)
    then = world.bundle.read_text()
    assert f"serial: {good + 3}\nnot_after: 2099-06-01T00:00:00Z\n" in now.read_text() and '"/shut/**"' in then
    world.bundle.write_text(re.sub(r"(?m)^serial: .*$", f"serial: {good + 3}", then).replace('"/shut/**"', '"/open/**"'))
    until(lambda: door(world) == 200, "the renewed one is not live")


def test_a_history_that_somebody_else_wrote_is_not_rolled_back_to(world):
    import redis  # the store itself, as who has taken it over

    store = redis.Redis(unix_socket_path=str(world.redis_socket))
    history = f"belfry:history:bundle:{ENTITY}"
    forged = store.lindex(history, 0).replace(b'"/open/**"', b'"/**"')
    forged = re.sub(rb"(?m)^serial: .*$", b"serial: 777", forged)
    store.lset(history, 0, forged)
    assert "by a known key" in policy(world, "roll-back", ENTITY, "--to", 777, "--key", world.an, code=1)


# Keys


def terminal(world, argv, *lines):
    """Runs it with a terminal of its own, on which a person types those lines; all that is shown there."""
    pid, master = pty.fork()
    if pid == 0:
        os.chdir(world.folder)
        os.execv(BELFRY, [str(BELFRY), *map(str, argv)])
    shown = b""
    waiting = list(lines)
    try:
        while True:
            shown += os.read(master, 4096)
            while waiting and shown.count(b": ") > len(lines) - len(waiting):
                os.write(master, waiting.pop(0).encode() + b"\n")
    except OSError:  # it has ended
        pass
    os.close(master)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode()


def test_a_passphrase_is_typed_and_not_seen(world):
    locked = world.folder / "keys/locked.key"
    code, shown = terminal(world, ["key", "generate", locked, "--encrypt"], "kers & peer", "kers & peer")
    assert code == 0, shown
    assert "kers" not in shown and re.search(r"[0-9a-f]{16} \S{44}", shown)
    assert locked.read_text().startswith("-----BEGIN ENCRYPTED PRIVATE KEY-----") and locked.stat().st_mode & 0o777 == 0o600
    code, again = terminal(world, ["key", "show", locked], "kers & peer")
    assert code == 0 and re.search(r"[0-9a-f]{16} \S{44}", again)[0] in shown
    code, shown = terminal(world, ["key", "show", locked], "kers & appel")
    assert code == 1 and "passphrase is another" in shown
    code, shown = terminal(world, ["key", "generate", world.folder / "keys/other.key", "--encrypt"], "een", "twee")
    assert code == 1 and "differ" in shown and not (world.folder / "keys/other.key").exists()


def test_a_passphrase_comes_from_a_file_that_others_cannot_read(world):
    words = world.folder / "words"
    words.write_text("kers & peer\n")
    words.chmod(0o600)
    path, line = make(world, "cas", "--passphrase-file", words)
    assert belfry(world, "key", "show", path, "--passphrase-file", words).split()[0] in line
    assert subprocess.run(["openssl", "pkey", "-in", path, "-passin", f"file:{words}", "-noout"]).returncode == 0
    words.chmod(0o644)
    assert "others" in belfry(world, "key", "show", path, "--passphrase-file", words, code=1)


def test_a_key_is_followed_by_another_without_a_gap(world):
    new = world.folder / "keys/an-next.key"
    said = belfry(world, "key", "rotate", world.an, new, "--overlap", 7)
    lines = [line for line in said.splitlines() if line.startswith("- {")]
    assert "not_after" in lines[0] and "not_before" in lines[1] and len(lines) == 2
    keys = [line[:-2].rstrip() + ", owner: an" for line in lines]
    publish_charter(world, [*keys, world.lines[2]])
    assert door(world) == 200  # what the old one signed is still good
    close_the_door(world)
    policy(world, "publish", world.bundle, "--key", new, "--key", world.bert)
    until(lambda: door(world) == 403, "what the new one signed is not live")
    publish_charter(world, [keys[1], world.lines[2]])  # the old one is taken away
    assert door(world) == 403


def ring_rotate(world, folder):
    done = subprocess.run([BELFRY, "key", "ring", "rotate", folder], capture_output=True, timeout=60, cwd=world.folder)
    return done.stderr.decode()


def test_rings_are_made_and_rotated(world):
    for name in ("seal", "store", "ticket", f"audit/{ENTITY}", f"assertion/{ENTITY}"):
        folder = world.folder / "rings" / name
        assert "holds no key yet" in belfry(world, "key", "ring", "rotate", folder, code=1)
        first = belfry(world, "key", "ring", "new", folder).strip()
        if name == "ticket":  # of which the newest is used at once: of two in one second none is overwritten
            until(lambda: "is not overwritten" in ring_rotate(world, folder), "two in one second are made")
        else:
            later = belfry(world, "key", "ring", "rotate", folder).strip()
            assert later > first and len(list(folder.iterdir())) == 2
        if not name.startswith("assertion"):
            assert re.fullmatch(r"[0-9a-f]{64}|[0-9a-f]{160}", (folder / first.rsplit("/")[-1]).read_text().strip())
    assert "no ring's name" in belfry(world, "key", "ring", "new", world.folder / "rings/other", code=2)


BASELINE = """
baseline:
  forbid:
    - { id: no-metrics, paths: ["/open/metrics"] }
"""
UNDER_THE_BASELINE = f"""
  - name: the federation keeps this shut
    request: GET https://{DOOR}/open/metrics
    expect: deny by no-metrics
"""


@pytest.mark.parametrize("name", ["seal", "assertion/fod-finance"])
def test_a_key_that_root_makes_belongs_to_whom_its_folder_belongs(world, tmp_path, name):
    if os.geteuid() != 0:
        pytest.fail("this test is to be run by root, who alone can give files away")
    home = tmp_path / "keys"
    home.mkdir()
    os.chown(home, 65534, 65534)
    belfry(world, "key", "ring", "new", home / name)
    subprocess.run([BELFRY, "key", "ring", "rotate", name], cwd=home, check=True, capture_output=True)
    made = list(home.rglob("*"))
    assert len(made) == 2 + name.count("/") + 1 and {(path.stat().st_uid, path.stat().st_gid) for path in made} == {(65534, 65534)}
    assert home.parent.stat().st_uid == 0


def test_a_bundles_tests_run_with_the_charters_baseline_in_force(world):
    signers = [line for line in world.lines if "owner: an" in line or "owner: bert" in line]
    publish_charter(world, signers, more=BASELINE)
    open_the_door(world)
    serial = int(re.search(r"serial (\d+)", policy(world, "show", ENTITY))[1]) + 1
    text = re.sub(r"(?m)^serial: .*$", f"serial: {serial}", world.bundle.read_text())
    head, _, tests = text.partition("\ntests:\n")
    world.bundle.write_text(f"{head}\ntests:{UNDER_THE_BASELINE}{tests}")
    charter = ("--charter", world.folder / "policy/charter.yaml")
    assert "has no rule 'no-metrics'" in belfry(world, "policy", "test", world.bundle, code=1)
    assert "ok   the federation keeps this shut" in belfry(world, "policy", "test", world.bundle, *charter)
    assert "good" in belfry(world, "policy", "check", world.bundle, *charter)
    give_approval(world)
    until(lambda: door(world) == 200, "the gateway does not take it")
    refused = world.metric("belfry_bundles_refused_total")
    shut = world.bundle.read_text().replace("deny by no-metrics", "permit")
    world.bundle.write_text(shut.replace(f"serial: {serial}", f"serial: {serial + 1}"))
    assert "expects permit" in policy(world, "publish", world.bundle, "--key", world.an, "--key", world.bert, code=1)
    belfry(world, "policy", "publish", world.bundle, "--key", world.an, "--key", world.bert, "--store", world.store)
    until(lambda: world.metric("belfry_bundles_refused_total") > refused, "the gateway takes what fails under the baseline")
