// SPDX-License-Identifier: EUPL-1.2
/* One OpenID provider of one entity, for the demo and the tests: the real `oidc-provider` over https on
 * loopback. Two entities are two of these processes, so that one can fail alone.
 *
 *   node server.js --name finance --cert FILE --key FILE [--port N] [--host idp.localhost] [--people FILE]
 *
 * Prints one JSON line {name, issuer, jwks_uri, token_endpoint, pid} when it answers; --port 0 takes a free one.
 * Access tokens are RFC 9068 JWTs for the resource that was asked for (RFC 8707), by one of two grants:
 *   client_credentials            a service, as the client `batch`
 *   urn:belfry:demo:person        a person of people.json, as the client `portal`. `person=NAME`, and:
 *       alg=ES256|RS256               which key signs (default ES256)
 *       age=SECONDS                   as if issued that long ago; ttl=SECONDS its life (default 600)
 *       groups=a,b  acr=URN  amr=a,b  instead of what people.json says
 *       thumbprint=X5T                cnf.x5t#S256 of RFC 8705
 *       audience=A,B                  instead of the resource
 * A real provider has no grant like this one: it stands for a sign-in that was done.
 *
 * POST /demo/rotate (or SIGHUP): new keys sign from now on; the old ones stay published, but not with ?drop=1. */
import { generateKeyPair, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { parseArgs, promisify } from 'node:util';

// The library greets with advice for production on stderr: ours stays for our own faults.
process.env.NODE_ENV ??= 'production';
console.warn = () => {};
const { default: Provider, errors } = await import('oidc-provider');

const PERSON = 'urn:belfry:demo:person';
const PERSON_PARAMETERS = ['person', 'resource', 'scope', 'alg', 'age', 'ttl', 'groups', 'acr', 'amr', 'thumbprint',
    'audience'];
const ALGORITHMS = { ES256: ['ec', { namedCurve: 'P-256' }], RS256: ['rsa', { modulusLength: 2048 }] };
const TTL_S = 600;

const { values: settings } = parseArgs({
    options: {
        name: { type: 'string' },
        cert: { type: 'string' },
        key: { type: 'string' },
        port: { type: 'string', default: '0' },
        host: { type: 'string', default: 'idp.localhost' },
        people: { type: 'string', default: new URL('people.json', import.meta.url).pathname },
    },
});
if (!settings.name || !settings.cert || !settings.key) {
    console.error('usage: node server.js --name NAME --cert FILE --key FILE [--port N] [--host HOST] [--people FILE]');
    process.exit(2);
}
const people = JSON.parse(readFileSync(settings.people, 'utf8'))[settings.name] ?? {};
const cookieKey = randomBytes(32).toString('hex');

async function makeKeys() {
    return Promise.all(Object.entries(ALGORITHMS).map(async ([alg, [type, options]]) => {
        const { privateKey } = await promisify(generateKeyPair)(type, options);
        const kid = `${settings.name}-${alg.toLowerCase()}-${randomBytes(4).toString('hex')}`;
        return { ...privateKey.export({ format: 'jwk' }), kid, alg, use: 'sig' };
    }));
}

function list(text) {
    return text === undefined ? undefined : text.split(',').filter((word) => word !== '');
}

/* The grant: a person's access token, without the browser. Client and secret were checked before. */
async function personGrant(ctx, next) {
    const { params, client, provider } = ctx.oidc;
    if (!Object.hasOwn(people, params.person ?? ''))
        throw new errors.InvalidGrant('no such person');
    if (typeof params.resource !== 'string' || !/^[a-z]+:./.test(params.resource))
        throw new errors.InvalidTarget('one absolute resource is needed');
    const token = new provider.AccessToken({
        accountId: params.person,
        client,
        gty: PERSON,
        scope: params.scope || undefined,
    });
    token.resourceServer = new provider.ResourceServer(params.resource, resourceServer(ctx, params.resource));
    ctx.oidc.entity('AccessToken', token);
    ctx.body = {
        access_token: await token.save(),
        expires_in: token.expiration,
        token_type: token.tokenType,
        scope: token.scope,
    };
    await next();
}

/* RFC 8707: a resource is `urn:x:API` or `https://API`; the token's audience is what stands last in it. */
function resourceServer(ctx, resource) {
    const alg = ctx.oidc.params.alg ?? 'ES256';
    if (!Object.hasOwn(ALGORITHMS, alg))
        throw new errors.InvalidRequest('alg is ES256 or RS256');
    return {
        scope: 'read write',
        audience: resource.split(/[:/]/).pop(),
        accessTokenTTL: Number(ctx.oidc.params.ttl ?? TTL_S),
        accessTokenFormat: 'jwt',
        jwt: { sign: { alg, kid: keys.find((key) => key.alg === alg).kid } },
    };
}

/* What the person's token says beside what RFC 9068 asks for. Runs just before the library signs. */
function dress(ctx, token, jwt) {
    if (token.gty !== PERSON)
        return;
    const { params } = ctx.oidc;
    const person = people[token.accountId];
    const issued = Math.floor(Date.now() / 1000) - Number(params.age ?? 0);
    jwt.payload.iat = issued;
    jwt.payload.exp = issued + Number(params.ttl ?? TTL_S);
    jwt.payload.auth_time = issued;
    jwt.payload.roles = list(params.groups) ?? person.groups;
    jwt.payload.acr = params.acr ?? person.acr;
    jwt.payload.amr = list(params.amr) ?? person.amr;
    jwt.payload.aud = list(params.audience) ?? jwt.payload.aud;
    if (params.thumbprint)
        jwt.payload.cnf = { 'x5t#S256': params.thumbprint };
}

function makeProvider(issuer) {
    const client = (client_id, grant) => ({
        client_id,
        client_secret: `${client_id}-secret`,
        grant_types: [grant],
        redirect_uris: [],
        response_types: [],
        token_endpoint_auth_method: 'client_secret_basic',
    });
    const provider = new Provider(issuer, {
        clients: [client('portal', PERSON), client('batch', 'client_credentials')],
        cookies: { keys: [cookieKey] },
        jwks: { keys },
        scopes: ['openid', 'read', 'write'],
        clientDefaults: { id_token_signed_response_alg: 'ES256' },
        features: {
            devInteractions: { enabled: false },
            clientCredentials: { enabled: true },
            resourceIndicators: {
                enabled: true,
                getResourceServerInfo: (ctx, resource) => resourceServer(ctx, resource),
            },
        },
        formats: { customizers: { jwt: dress } },
        ttl: { ClientCredentials: TTL_S, AccessToken: TTL_S },
    });
    provider.registerGrantType(PERSON, personGrant, PERSON_PARAMETERS, []);
    provider.on('server_error', (ctx, error) => console.error(error.stack));
    return provider;
}

let keys = await makeKeys();
let answer; // the provider's request handler; a rotation makes a new provider
async function rotate(drop) {
    const fresh = await makeKeys();
    keys = drop ? fresh : [...fresh, ...keys].slice(0, 8);
    answer = makeProvider(issuer).callback();
    return fresh.map((key) => key.kid);
}

const identity = { cert: readFileSync(settings.cert), key: readFileSync(settings.key) };
const server = createServer(identity, async (request, response) => {
    const url = new URL(request.url, 'https://idp.localhost');
    if (url.pathname !== '/demo/rotate')
        return answer(request, response);
    if (request.method !== 'POST')
        return response.writeHead(405, { allow: 'POST' }).end();
    const kids = await rotate(url.searchParams.has('drop'));
    return response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ signing: kids }));
});
await new Promise((resolve, reject) => {
    server.once('error', reject).listen(Number(settings.port), '127.0.0.1', resolve);
});
const issuer = `https://${settings.host}:${server.address().port}`;
answer = makeProvider(issuer).callback();
process.on('SIGHUP', () => rotate(false));
process.on('SIGTERM', () => process.exit(0));
console.log(JSON.stringify({
    name: settings.name,
    issuer,
    jwks_uri: `${issuer}/jwks`,
    token_endpoint: `${issuer}/token`,
    pid: process.pid,
}));
