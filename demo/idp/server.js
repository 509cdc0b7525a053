// SPDX-License-Identifier: EUPL-1.2
/* One OpenID provider of one entity, for the demo and the tests: the real `oidc-provider` over https on
 * loopback. Two entities are two of these processes, so that one can fail alone.
 *
 *   node server.js --name finance --cert FILE --key FILE [--port N] [--host idp.localhost] [--people FILE]
 *                  [--ca FILE] [--login ORIGIN]... [--lack WHAT,...]
 *
 * Prints one JSON line {name, issuer, jwks_uri, token_endpoint, pid} when it answers; --port 0 takes a free one.
 *
 * People of people.json sign in in a browser (sign_in.js), for two clients: `belfry` (client_secret_basic, the secret
 * `belfry-secret`) and, with --client-jwks FILE, `belfry-key` (private_key_jwt). Both may be sent back to each login
 * host that is known, ORIGIN/.belfry/callback and ORIGIN/.belfry/signed-out, and hear of the end of a session at
 * ORIGIN/.belfry/backchannel-logout (--ca: who vouches for that host's certificate).
 *
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
 * What a provider may lack (--lack, or POST /demo/lack?what=...; empty: nothing):
 *   pkce  iss  backchannel  sid  end-session  refresh  jwt (access tokens are opaque)  id-token-claims (userinfo alone
 *   says who it is)  userinfo-json (it is a signed JWT)  consent (nobody is asked)
 *
 * While it runs, by POST:
 *   /demo/rotate (or SIGHUP)         new keys sign from now on; the old ones stay published, but not with ?drop=1
 *   /demo/login?origin=ORIGIN        one login host more
 *   /demo/person?name=N&groups=a,b   other groups; without groups the person is gone
 *   /demo/end?name=N                 ends their sessions here and tells the applications, as an administrator would */
import { generateKeyPair, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Agent, createServer } from 'node:https';
import { lookup } from 'node:dns';
import { parseArgs, promisify } from 'node:util';

import { interact, levelAsked, levelOf, logoutPage, MEANS, page, urn } from './sign_in.js';

// The library greets with advice for production on stderr: ours stays for our own faults.
process.env.NODE_ENV ??= 'production';
console.warn = () => {};
const { default: Provider, errors, interactionPolicy } = await import('oidc-provider');

const PERSON = 'urn:belfry:demo:person';
const PERSON_PARAMETERS = ['person', 'resource', 'scope', 'alg', 'age', 'ttl', 'groups', 'acr', 'amr', 'thumbprint',
    'audience'];
const ALGORITHMS = { ES256: ['ec', { namedCurve: 'P-256' }], RS256: ['rsa', { modulusLength: 2048 }] };
const TTL_S = 600;
const WORKDAY_S = 8 * 3600;

const { values: settings } = parseArgs({
    options: {
        name: { type: 'string' },
        cert: { type: 'string' },
        key: { type: 'string' },
        port: { type: 'string', default: '0' },
        host: { type: 'string', default: 'idp.localhost' },
        listen: { type: 'string', default: '127.0.0.1' },
        people: { type: 'string', default: new URL('people.json', import.meta.url).pathname },
        ca: { type: 'string' },
        login: { type: 'string', multiple: true, default: [] },
        lack: { type: 'string', default: '' },
        'client-jwks': { type: 'string' },
    },
});
if (!settings.name || !settings.cert || !settings.key) {
    console.error('usage: node server.js --name NAME --cert FILE --key FILE [--port N] [--host HOST] [--people FILE] ...');
    process.exit(2);
}
const people = JSON.parse(readFileSync(settings.people, 'utf8'))[settings.name] ?? {};
const clientJwks = settings['client-jwks'] && JSON.parse(readFileSync(settings['client-jwks'], 'utf8'));
const logins = new Set(settings.login);
let lacks = new Set(list(settings.lack));
const sessions = new Map(); // by uid: the library has no list of them
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
        accessTokenFormat: lacks.has('jwt') ? 'opaque' : 'jwt',
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

/* Names under .localhost are this machine, whatever the resolver thinks of them. */
function localLookup(hostname, options, done) {
    if (!/(^|\.)localhost$/.test(hostname))
        return lookup(hostname, options, done);
    const { all, ...rest } = typeof options === 'object' ? options : { family: options };
    return lookup('127.0.0.1', { ...rest, all }, done);
}

function findAccount(ctx, id) {
    const person = Object.hasOwn(people, id) ? people[id] : undefined;
    return person && {
        accountId: id,
        claims: () => ({ sub: id, name: person.name, locale: person.locale, roles: person.groups }),
    };
}

/* Asks again where what was shown so far is not as strong as what is wanted; once, whatever the person chooses. */
function interactions() {
    const { Check } = interactionPolicy;
    const policy = interactionPolicy.base();
    policy.get('login').checks.add(new Check('too_weak', 'a stronger sign-in is asked for', ({ oidc }) => {
        const isEnough = !oidc.session.accountId || oidc.result?.login ||
            levelOf(oidc.session.acr) >= levelAsked(oidc.params.acr_values);
        return isEnough ? Check.NO_NEED_TO_PROMPT : Check.REQUEST_PROMPT;
    }));
    return policy;
}

async function grantWithoutAsking(ctx) {
    const { client, session, provider, params, result } = ctx.oidc;
    const known = result?.consent?.grantId ?? session.grantIdFor(client.clientId);
    const found = known && await provider.Grant.find(known);
    if (found || !lacks.has('consent'))
        return found || undefined;
    const grant = new provider.Grant({ accountId: session.accountId, clientId: client.clientId });
    grant.addOIDCScope(params.scope);
    await grant.save();
    return grant;
}

const LACKING_METADATA = {
    pkce: ['code_challenge_methods_supported'],
    iss: ['authorization_response_iss_parameter_supported'],
    backchannel: ['backchannel_logout_supported', 'backchannel_logout_session_supported'],
    sid: ['backchannel_logout_session_supported'],
    'end-session': ['end_session_endpoint'],
};

async function bodyOf(request) {
    let text = '';
    for await (const chunk of request)
        text += chunk;
    return text;
}

/* What a provider that lacks something would not look at, and would not say. */
async function lack(ctx, next) {
    if (lacks.has('pkce') && ctx.path === '/auth')
        ctx.query = Object.fromEntries(Object.entries(ctx.query).filter(([name]) => !name.startsWith('code_challenge')));
    if (lacks.has('pkce') && ctx.path === '/token' && ctx.method === 'POST') {
        const form = new URLSearchParams(await bodyOf(ctx.req));
        form.delete('code_verifier');
        ctx.req.body = Object.fromEntries(form);
    }
    await next();
    if (ctx.path === '/.well-known/openid-configuration')
        for (const what of lacks)
            for (const name of LACKING_METADATA[what] ?? [])
                delete ctx.body[name];
    const location = ctx.response.get('location');
    if (lacks.has('iss') && ctx.path.startsWith('/auth') && location.includes('/.belfry/callback')) {
        const url = new URL(location);
        url.searchParams.delete('iss');
        ctx.set('location', url.href);
    }
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
    const places = (path) => [...logins].map((origin) => `${origin}/.belfry/${path}`);
    const browserClient = (client_id, authentication) => ({
        client_id,
        ...authentication,
        grant_types: lacks.has('refresh') ? ['authorization_code'] : ['authorization_code', 'refresh_token'],
        redirect_uris: places('callback'),
        post_logout_redirect_uris: places('signed-out'),
        response_types: ['code'],
        // The library tells one place of a client: the login host that came last.
        ...(logins.size && !lacks.has('backchannel') ? {
            backchannel_logout_uri: places('backchannel-logout').at(-1),
            backchannel_logout_session_required: !lacks.has('sid'),
        } : {}),
        ...(lacks.has('userinfo-json') ? { userinfo_signed_response_alg: 'ES256' } : {}),
    });
    const secret = { client_secret: 'belfry-secret', token_endpoint_auth_method: 'client_secret_basic' };
    const key = clientJwks && { jwks: clientJwks, token_endpoint_auth_method: 'private_key_jwt' };
    const agent = new Agent({ ca: settings.ca && readFileSync(settings.ca) });
    const provider = new Provider(issuer, {
        clients: [
            client('portal', PERSON),
            client('batch', 'client_credentials'),
            browserClient('belfry', secret),
            ...(key ? [browserClient('belfry-key', key)] : []),
        ],
        // Cookies know no ports: two providers on one host must not overwrite each other's.
        cookies: {
            keys: [cookieKey],
            names: Object.fromEntries(['session', 'interaction', 'resume'].map((use) => [use, `${settings.name}-${use}`])),
        },
        jwks: { keys },
        scopes: ['openid', 'profile', 'roles', 'read', 'write'],
        claims: { openid: ['sub', 'acr', 'amr', 'auth_time'], profile: ['name', 'locale'], roles: ['roles'] },
        acrValues: Object.values(MEANS).map((means) => urn(means.level)),
        conformIdTokenClaims: lacks.has('id-token-claims'),
        clientDefaults: { id_token_signed_response_alg: 'ES256' },
        clientAuthMethods: ['client_secret_basic', 'private_key_jwt'],
        findAccount,
        interactions: { policy: interactions(), url: (ctx, interaction) => `/interaction/${interaction.uid}` },
        loadExistingGrant: grantWithoutAsking,
        issueRefreshToken: (ctx, asked) => asked.grantTypeAllowed('refresh_token'),
        rotateRefreshToken: true,
        pkce: { required: () => !lacks.has('pkce') },
        httpOptions: () => ({ agent, dnsLookup: localLookup }),
        renderError: (ctx, out) => {
            ctx.type = 'html';
            ctx.body = page('This did not work', `<p>${out.error.replace(/[^\w]/g, ' ')}</p>`);
        },
        features: {
            devInteractions: { enabled: false },
            clientCredentials: { enabled: true },
            backchannelLogout: { enabled: true },
            jwtUserinfo: { enabled: true },
            introspection: { enabled: true },
            rpInitiatedLogout: {
                enabled: !lacks.has('end-session'),
                logoutSource: (ctx, form) => { ctx.body = logoutPage(form); },
                postLogoutSuccessSource: (ctx) => { ctx.body = page('You are signed out', ''); },
            },
            resourceIndicators: {
                enabled: true,
                getResourceServerInfo: (ctx, resource) => resourceServer(ctx, resource),
                useGrantedResource: () => true,
            },
        },
        formats: { customizers: { jwt: dress } },
        ttl: {
            ClientCredentials: TTL_S, AccessToken: TTL_S, IdToken: TTL_S, AuthorizationCode: 60, Interaction: TTL_S,
            Session: WORKDAY_S, Grant: WORKDAY_S, RefreshToken: WORKDAY_S,
        },
    });
    provider.use(lack);
    provider.registerGrantType(PERSON, personGrant, PERSON_PARAMETERS, []);
    provider.on('session.saved', (session) => sessions.set(session.uid, session));
    provider.on('session.destroyed', (session) => sessions.delete(session.uid));
    provider.on('server_error', (ctx, error) => console.error(error.stack));
    provider.on('backchannel.error', (ctx, error) => console.error(error.message));
    return provider;
}

let keys = await makeKeys();
let provider; // another one whenever a setting changes; sessions and grants stay
let answer;
function renew() {
    provider = makeProvider(issuer);
    answer = provider.callback();
}

async function rotate(drop) {
    const fresh = await makeKeys();
    keys = drop ? fresh : [...fresh, ...keys].slice(0, 8);
    renew();
    return fresh.map((key) => key.kid);
}

/* Every session of theirs at this provider, as when an administrator locks somebody out. */
async function endSessions(name) {
    const theirs = [...sessions.values()].filter((session) => session.accountId === name);
    const told = [];
    for (const session of theirs) {
        await session.destroy();
        for (const [clientId, { sid }] of Object.entries(session.authorizations)) {
            const client = await provider.Client.find(clientId);
            if (client?.backchannelLogoutUri)
                told.push(client.backchannelLogout(name, sid).then(() => true, () => false));
        }
    }
    return { ended: theirs.length, told: (await Promise.all(told)).filter(Boolean).length };
}

const orders = {
    rotate: async (query) => ({ signing: await rotate(query.has('drop')) }),
    login: async (query) => {
        logins.delete(query.get('origin'));
        logins.add(query.get('origin'));
        renew();
        return { logins: [...logins] };
    },
    lack: async (query) => {
        lacks = new Set(list(query.get('what') ?? ''));
        renew();
        return { lacks: [...lacks] };
    },
    person: async (query) => {
        if (query.has('groups'))
            people[query.get('name')].groups = list(query.get('groups'));
        else
            delete people[query.get('name')];
        return {};
    },
    end: async (query) => endSessions(query.get('name')),
};

const identity = { cert: readFileSync(settings.cert), key: readFileSync(settings.key) };
const server = createServer(identity, async (request, response) => {
    const url = new URL(request.url, 'https://idp.localhost');
    const order = orders[/^\/demo\/(\w+)$/.exec(url.pathname)?.[1]];
    if (!order)
        return await interact(provider, settings, people, request, response) || answer(request, response);
    if (request.method !== 'POST')
        return response.writeHead(405, { allow: 'POST' }).end();
    const said = await order(url.searchParams);
    return response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(said));
});
await new Promise((resolve, reject) => {
    server.once('error', reject).listen(Number(settings.port), settings.listen, resolve);
});
const issuer = `https://${settings.host}:${server.address().port}`;
renew();
process.on('SIGHUP', () => rotate(false));
process.on('SIGTERM', () => process.exit(0));
console.log(JSON.stringify({
    name: settings.name,
    issuer,
    jwks_uri: `${issuer}/jwks`,
    token_endpoint: `${issuer}/token`,
    pid: process.pid,
}));
