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
    return pairs.map(([name, value]) => `<div><dt>${escape(name)}</dt><dd>${escape(value)}</dd></div>`).join('\n');
}

function links(pairs) {
    return pairs.map(([text, path]) => `<a href="${escape(path)}">${escape(text)}</a>`).join('\n');
}

/* What there is to do on this page: one field and a button. */
function formOf({ action, label, button }) {
    return `<form method="post" action="${escape(action)}">
<label for="text">${escape(label)}</label>
<input id="text" name="text" autocomplete="off">
<button id="save">${escape(button)}</button>
</form>`;
}

const OURS = [['Who am I?', '/.belfry/whoami'], ['My sessions', '/.belfry/sessions'], ['Sign out', '/.belfry/sign-out']];

function page(app, seen) {
    const { verified, why, claims = {} } = seen.assertion;
    const shown = Object.entries(claims).map(([name, value]) => [name, typeof value === 'string' ? value : JSON.stringify(value)]);
    const form = app.form?.(seen);
    return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escape(app.title)}</title>
<style>
:root { color-scheme: light dark; --ink: #1d2733; --ground: #fff; --line: #dde3ea; --soft: #4d5968; --link: #1f4e8c; --yes: #12663a; --no: #a3180f }
@media (prefers-color-scheme: dark) {
    :root { --ink: #e8ecf1; --ground: #161c24; --line: #323c49; --soft: #a9b4c2; --link: #8ab8f0; --yes: #7fd3a4; --no: #ff9a90 }
}
* { box-sizing: border-box }
body { margin: 0; font: 1rem/1.5 system-ui, sans-serif; color: var(--ink); background: var(--ground) }
header { background: ${app.colour}; color: #fff; padding: 1.2rem 0 1rem }
header a { color: #fff }
header > *, main { max-width: 56rem; margin: 0 auto; padding: 0 1.2rem }
h1 { font-size: 1.6rem; line-height: 1.2 }
nav { display: flex; flex-wrap: wrap; gap: 0 1.5rem; padding-top: .5rem }
nav a { padding: .6rem 0 }
nav + nav { padding-top: 0; font-size: .9rem }
main { padding-top: 1.5rem; padding-bottom: 2rem }
main > p:first-child { font-size: 1.3rem; margin: 0 0 1.5rem }
a { color: var(--link) }
h2 { font-size: 1.1rem; margin: 2rem 0 .4rem }
form { display: flex; flex-wrap: wrap; align-items: end; gap: .6rem; padding: 1rem; border: 1px solid var(--line); border-radius: .4rem }
label { flex: 1 0 100%; font-weight: 600 }
input, button { font: inherit; min-height: 2.75rem; padding: .4rem .8rem; border-radius: .3rem; border: 1px solid var(--soft) }
input { flex: 1 1 14rem; min-width: 0 }
button { background: ${app.colour}; border-color: ${app.colour}; color: #fff; font-weight: 600; cursor: pointer }
dl { margin: 0; border-top: 1px solid var(--line) }
dl div { display: flex; flex-wrap: wrap; gap: 0 1rem; padding: .3rem 0; border-bottom: 1px solid var(--line) }
dt { flex: 0 0 13rem; color: var(--soft) }
dd { flex: 1 1 16rem; min-width: 0; margin: 0; overflow-wrap: anywhere; font: .9rem/1.65 ui-monospace, monospace }
.yes { color: var(--yes) } .no { color: var(--no) }
</style>
</head>
<body>
<header>
<h1>${escape(app.title)}</h1>
<nav aria-label="${escape(app.title)}">${links(app.links)}</nav>
<nav aria-label="The gateway">${links(OURS)}</nav>
</header>
<main>
<p>${escape(app.about(seen))}</p>
${form ? formOf(form) : ''}
<h2>Whom the gateway says you are</h2>
<p class="${verified ? 'yes' : 'no'}">${verified ? 'Signed by the gateway, verified here.' : `Not verified: ${escape(why)}.`}</p>
<dl>${rows(shown)}</dl>
<h2>What arrived here</h2>
<dl>${rows([['request', `${seen.method} ${seen.target}`], ['body', seen.body.text || 'none'], ...seen.headers])}</dl>
</main>
</body>
</html>
`;
}

/* app: { id (as in the bundle), title, colour, links [[text, path]], about(seen) → one sentence, and perhaps
 * form(seen) → { action, label, button } where there is something to change, and
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
