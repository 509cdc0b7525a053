// SPDX-License-Identifier: EUPL-1.2
/* What the three sample applications share: they show whom they see. Nothing here decides anything; the
 * gateway has. An application that wants to be sure verifies `Belfry-Assertion` as this one does: an ES256
 * JWT, by the keys of its entity, for its own name as the audience. Node's standard library is enough. */
import { createPublicKey, verify } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { get } from 'node:https';
import { parseArgs } from 'node:util';

const KEYS_AGE_MS = 60_000; // an unknown kid asks again at once, but not more often than every second
const BODY_MAX_BYTES = 64 * 1024;

const { values: settings } = parseArgs({
    options: {
        port: { type: 'string', default: '0' },
        jwks: { type: 'string' }, // https://HOST:PORT/.belfry/jwks.json of the gateway
        ca: { type: 'string' }, // who signed the gateway's certificate
        cert: { type: 'string' }, // where the host demands a certificate even for its keys
        key: { type: 'string' },
    },
});
const tls = Object.fromEntries(['ca', 'cert', 'key'].filter((name) => settings[name])
    .map((name) => [name, readFileSync(settings[name])]));

const keys = { byId: new Map(), readAt: 0 };
function readKeys() {
    return new Promise((resolve, reject) => {
        const { hostname, port, pathname } = new URL(settings.jwks);
        // *.localhost is loopback; not every resolver knows.
        const where = { host: hostname.endsWith('.localhost') ? '127.0.0.1' : hostname, port, path: pathname };
        const request = get({ ...tls, ...where, servername: hostname, headers: { host: `${hostname}:${port}` }, timeout: 3000 },
            async (response) => {
                let text = '';
                for await (const chunk of response)
                    text += chunk;
                if (response.statusCode !== 200)
                    return reject(new Error(`the gateway's keys: ${response.statusCode}`));
                const set = JSON.parse(text).keys.map((key) => [key.kid, createPublicKey({ key, format: 'jwk' })]);
                keys.byId = new Map(set);
                keys.readAt = Date.now();
                return resolve();
            });
        request.on('error', reject).on('timeout', () => request.destroy(new Error('the gateway\'s keys: too late')));
    });
}

async function keyFor(kid) {
    const age = Date.now() - keys.readAt;
    if (age > KEYS_AGE_MS || (!keys.byId.has(kid) && age > 1000))
        await readKeys();
    return keys.byId.get(kid);
}

/* { verified, claims } or { verified: false, why }. */
async function assertionOf(request, application) {
    const text = request.headers['belfry-assertion'];
    if (!text)
        return { verified: false, why: 'no Belfry-Assertion' };
    try {
        const [head, body, signature] = text.split('.');
        const { alg, kid } = JSON.parse(Buffer.from(head, 'base64url'));
        const key = settings.jwks && await keyFor(kid);
        const claims = JSON.parse(Buffer.from(body, 'base64url'));
        if (!key)
            return { verified: false, why: settings.jwks ? 'a key that the gateway does not publish' : 'no keys to verify with', claims };
        const parts = { key, dsaEncoding: 'ieee-p1363' };
        if (alg !== 'ES256' || !verify('sha256', Buffer.from(`${head}.${body}`), parts, Buffer.from(signature, 'base64url')))
            return { verified: false, why: 'the signature is wrong' };
        if (![claims.aud].flat().includes(application))
            return { verified: false, why: 'meant for another application', claims };
        if (!(claims.exp > Date.now() / 1000))
            return { verified: false, why: 'expired', claims };
        return { verified: true, claims };
    } catch (error) {
        return { verified: false, why: error.message };
    }
}

async function bodyOf(request) {
    const chunks = [];
    let size = 0;
    for await (const chunk of request) {
        size += chunk.length;
        if (size <= BODY_MAX_BYTES)
            chunks.push(chunk);
    }
    return { size, text: Buffer.concat(chunks).toString('utf8').slice(0, 2000) };
}

function escape(text) {
    return String(text).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}

function rows(pairs) {
    return pairs.map(([name, value]) => `<tr><th scope="row">${escape(name)}</th><td>${escape(value)}</td></tr>`).join('\n');
}

function page(app, seen) {
    const { verified, why, claims = {} } = seen.assertion;
    const shown = Object.entries(claims).map(([name, value]) => [name, typeof value === 'string' ? value : JSON.stringify(value)]);
    return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${escape(app.title)}</title><style>
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem; color: #1d2733; }
h1 { border-left: .4rem solid ${app.colour}; padding-left: .8rem; }
table { border-collapse: collapse; width: 100%; margin-bottom: 2rem; }
th, td { text-align: left; vertical-align: top; padding: .25rem .6rem; border-bottom: 1px solid #dde3ea; }
th { width: 13rem; font-weight: 600; } td { overflow-wrap: anywhere; font-family: ui-monospace, monospace; font-size: .9rem; }
.yes { color: #12663a; } .no { color: #a3180f; }
</style></head><body>
<h1>${escape(app.title)}</h1><p>${escape(app.about(seen))}</p>
<h2>Whom the gateway says you are</h2>
<p class="${verified ? 'yes' : 'no'}">${verified ? 'Signed by the gateway, verified here.' : `Not verified: ${escape(why)}.`}</p>
<table>${rows(shown)}</table>
<h2>What arrived here</h2>
<table>${rows([['request', `${seen.method} ${seen.target}`], ['body', `${seen.body.size} bytes`], ...seen.headers])}</table>
</body></html>
`;
}

/* app: { id (as in the bundle), title, colour, about(seen) → one sentence, and perhaps
 * quick(request, response) → true where it has answered }. Prints one JSON line when it listens. */
export function serve(app) {
    const server = createServer(async (request, response) => {
        if (app.quick?.(request, response))
            return;
        const raw = request.rawHeaders;
        const seen = {
            application: app.id,
            method: request.method,
            target: request.url,
            headers: raw.flatMap((name, i) => (i % 2 ? [] : [[name, raw[i + 1]]])),
            assertion: await assertionOf(request, app.id),
            body: await bodyOf(request),
        };
        const html = /text\/html/.test(request.headers.accept ?? '');
        const text = html ? page(app, seen) : `${JSON.stringify({ says: app.about(seen), ...seen }, null, 2)}\n`;
        response.writeHead(200, {
            'content-type': html ? 'text/html; charset=utf-8' : 'application/json',
            'content-length': Buffer.byteLength(text),
            'cache-control': 'no-store',
        });
        response.end(request.method === 'HEAD' ? undefined : text);
    });
    server.keepAliveTimeout = 60_000;
    server.on('clientError', (error, socket) => socket.destroy());
    server.listen(Number(settings.port), '127.0.0.1', () => {
        console.log(JSON.stringify({ application: app.id, port: server.address().port, pid: process.pid }));
    });
    process.on('SIGTERM', () => process.exit(0));
}
