#!/bin/bash
# SPDX-License-Identifier: EUPL-1.2
# Starts Belfry as one target of a rig that compares gateways: mutual TLS demanded in the handshake, one ES256 or RS256
# token checked on every request, method × path × role, a signed assertion for the application, every decision in
# the audit file. Environment (all required): PORT to listen on, ORIGIN the application's port, PKI a folder with
# server.crt, server.key, device-ca.crt and jwks.json, RUN an empty folder, THREADS, BELFRY_BIN the release binary.
set -eu
: "${PORT:?}" "${ORIGIN:?}" "${PKI:?}" "${RUN:?}" "${BELFRY_BIN:?}"
HOST=app.test
cd "$RUN"
umask 077
mkdir -p state keys certificates/$HOST
cp "$PKI/server.crt" certificates/$HOST/fullchain.pem
cp "$PKI/server.key" certificates/$HOST/key.pem
cp "$PKI/device-ca.crt" "$PKI/jwks.json" .

redis-server --port 0 --unixsocket "$RUN/redis.sock" --save '' --daemonize yes --pidfile "$RUN/redis.pid" --logfile "$RUN/redis.log"
until [ -S "$RUN/redis.sock" ]; do sleep 0.05; done
read -r FEDERATION FEDERATION_PUBLIC < <("$BELFRY_BIN" key generate federation.key)
read -r ENTITY ENTITY_PUBLIC < <("$BELFRY_BIN" key generate entity.key)
for ring in assertion/bench audit/bench; do "$BELFRY_BIN" key ring new "keys/$ring" >ring.log; done

UNTIL=$(date -u -d '+20 days' +%Y-%m-%dT%H:%M:%SZ)
cat >charter.yaml <<YAML
belfry: charter/v1
serial: 1
not_after: $UNTIL
entities:
  - id: bench
    name: Bench
    hosts: [$HOST]
    upstream_networks: [127.0.0.1/32]
    keys:
      - id: "$ENTITY"
        public: "$ENTITY_PUBLIC"
YAML
cat >bundle.yaml <<YAML
belfry: entity/v1
entity: bench
serial: 1
not_after: $UNTIL
identity_providers:
  - id: idp
    issuer: https://idp.bench.test
    jwks_file: jwks.json
    audiences: [belfry]
    token_types: [at+jwt, jwt]
    max_token_age: 30d
    claims: { groups: role }
device_authorities:
  - id: devices
    trust: managed
    device_name: subject.CN
    ca_file: device-ca.crt
applications:
  - id: app
    host: $HOST
    device: required_by_tls
    identity_providers: [idp]
    upstreams: [http://127.0.0.1:$ORIGIN]
    rules:
      - id: staff
        permit: { methods: [GET, POST], paths: ["/b/**", "/headers"] }
        when: '"staff" in user.groups || "admin" in user.groups'
YAML
cat >belfry.yaml <<YAML
listen: ["127.0.0.1:$PORT"]
workers: ${THREADS:-1}
state_dir: $RUN/state
certificates_dir: $RUN/certificates
keys_dir: $RUN/keys
store: { url: "redis+unix://$RUN/redis.sock" }
trust: { federation_keys: [{ id: "$FEDERATION", public: "$FEDERATION_PUBLIC" }] }
audit: { file: $RUN/audit.jsonl }
YAML
"$BELFRY_BIN" policy publish --charter charter.yaml --key federation.key --store "redis+unix://$RUN/redis.sock"
"$BELFRY_BIN" policy publish bundle.yaml --key entity.key --store "redis+unix://$RUN/redis.sock"
trap 'kill "$(cat "$RUN/redis.pid")"' EXIT
"$BELFRY_BIN" run -c belfry.yaml &
gateway=$!
trap 'kill $gateway; wait $gateway; kill "$(cat "$RUN/redis.pid")"' EXIT
trap 'exit 0' TERM INT
wait $gateway
