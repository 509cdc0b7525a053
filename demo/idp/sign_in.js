// SPDX-License-Identifier: EUPL-1.2
/* Signing in at the demo's provider in a browser: its pages (who are you, may the application know, sign out) and
 * what is typed there. Plain HTML, no script. A person proves themselves as people.json says they do, or by the
 * means that they choose, which gives the level of assurance: so a step-up can be seen, and one that is not enough. */

const LEVEL = /^urn:be:fedict:iam:fas:Level(\d{3})$/;
export const MEANS = {
    password: { text: 'Password alone', level: 300, amr: 'pwd' },
    app: { text: 'Password and the code of an app', level: 400, amr: 'otp' },
    eid: { text: 'Identity card', level: 500, amr: 'eid' },
};
export const urn = (level) => `urn:be:fedict:iam:fas:Level${level}`;
export const levelOf = (acr) => Number(LEVEL.exec(acr ?? '')?.[1] ?? 0);
/* The lowest of the levels that are asked for; 0 where none is. */
export const levelAsked = (acrValues) => {
    const levels = (acrValues ?? '').split(' ').map(levelOf).filter((level) => level > 0);
    return levels.length ? Math.min(...levels) : 0;
};

const escape = (text) => String(text).replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);

export function page(title, body) {
    return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escape(title)}</title>
<style>
:root { color-scheme: light dark; --ink: #22262e; --ground: #f4f2ee; --soft: #5a6070; --sure: #4a3f8f; --on: #fff; --wrong: #a3180f }
@media (prefers-color-scheme: dark) {
    :root { --ink: #ebe8e2; --ground: #1b1a20; --soft: #aaa7b5; --sure: #b3a8f5; --on: #1b1a20; --wrong: #ff9a90 }
}
* { box-sizing: border-box }
body { font: 1.1rem/1.5 system-ui, sans-serif; color: var(--ink); background: var(--ground); max-width: 26rem; margin: clamp(1rem, 8vw, 4rem) auto; padding: 0 1.2rem }
h1 { font-size: 1.7rem; line-height: 1.2 }
label { display: block; margin-top: 1rem; font-weight: 600 }
input, select, button { font: inherit; min-height: 3rem; padding: .4rem .8rem; width: 100%; border: 1px solid var(--soft); border-radius: .4rem }
button { margin-top: 1.2rem; border: 2px solid var(--sure); background: var(--sure); color: var(--on); font-weight: 600; cursor: pointer }
#abort, #stay { margin-top: .7rem; background: none; color: var(--sure) }
:focus-visible { outline: 3px solid var(--sure); outline-offset: 2px }
[role=alert] { border-left: .3rem solid; padding-left: .8rem; color: var(--wrong) }
</style>
</head>
<body>
<main>
<h1>${escape(title)}</h1>
${body}
</main>
</body>
</html>
`;
}

function loginPage(name, uid, people, asked, wrong) {
    const options = Object.entries(MEANS).map(([key, means]) =>
        `<option value="${key}">${escape(means.text)} (level ${means.level})</option>`).join('\n');
    return page(`Sign in at ${name}`, `
<p>This provider is for demonstrations. It knows ${Object.keys(people).map((who) => `<em>${escape(who)}</em>`).join(', ')};
the password of <em>${escape(Object.keys(people)[0])}</em> is <em>demo-${escape(Object.keys(people)[0])}</em>.</p>
${asked ? `<p>The application asks for level ${asked}.</p>` : ''}
${wrong ? '<p role="alert">That name and password do not belong together.</p>' : ''}
<form method="post" action="/interaction/${uid}/login">
<label for="login">Name</label>
<input id="login" name="login" autocomplete="username" required autofocus>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required>
<label for="means">How</label>
<select id="means" name="means">
<option value="">As usual${asked ? ', or as strong as asked' : ''}</option>
${options}
</select>
<button id="sign-in">Sign in</button>
</form>
<form method="post" action="/interaction/${uid}/abort"><button id="abort">Cancel</button></form>`);
}

function consentPage(uid, client, scopes) {
    return page('May it know who you are?', `
<p><strong>${escape(client)}</strong> asks for: ${escape(scopes)}.</p>
<form method="post" action="/interaction/${uid}/confirm"><button id="confirm">Allow</button></form>
<form method="post" action="/interaction/${uid}/abort"><button id="abort">Refuse</button></form>`);
}

export const logoutPage = (form) => page('Sign out here, too?', `
<p>The application has signed you out. Do you want to end your session at this provider as well?</p>
${form}
<button id="sign-out" form="op.logoutForm" name="logout" value="yes">Sign out</button>
<button id="stay" form="op.logoutForm">Stay signed in</button>`);

async function formOf(request) {
    let text = '';
    for await (const chunk of request) {
        text += chunk;
        if (text.length > 8192)
            throw new Error('the form is too large');
    }
    return new URLSearchParams(text);
}

/* How they proved themselves: by what they chose, else as usual, but at least as was asked for. */
function proof(person, means, asked) {
    if (Object.hasOwn(MEANS, means))
        return { acr: urn(MEANS[means].level), amr: [urn(MEANS[means].level), MEANS[means].amr] };
    if (levelOf(person.acr) >= asked)
        return { acr: person.acr, amr: person.amr };
    return { acr: urn(asked), amr: [urn(asked), 'otp'] };
}

/* Answers /interaction/UID and what its forms send; false where it is another path. */
export async function interact(provider, settings, people, request, response) {
    const [, uid, step] = /^\/interaction\/([\w-]+)(?:\/(login|confirm|abort))?$/.exec(
        new URL(request.url, 'https://idp.localhost').pathname) ?? [];
    if (!uid)
        return false;
    const show = (html, status = 200) => response.writeHead(status, {
        'content-type': 'text/html; charset=utf-8',
        'cache-control': 'no-store',
        'content-security-policy': "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    }).end(html);
    let details;
    try {
        details = await provider.interactionDetails(request, response);
    } catch {
        show(page('This sign-in is over', '<p>Go back to the application and begin again.</p>'), 400);
        return true;
    }
    const { prompt, params } = details;
    const asked = levelAsked(params.acr_values);
    const finish = (result, merge) => provider.interactionFinished(request, response, result,
        { mergeWithLastSubmission: merge });
    if (request.method === 'GET') {
        show(prompt.name === 'login' ? loginPage(settings.name, uid, people, asked, false)
            : consentPage(uid, params.client_id, params.scope));
    } else if (step === 'abort') {
        await finish({ error: 'access_denied', error_description: 'The person said no' }, false);
    } else if (step === 'login' && prompt.name === 'login') {
        const form = await formOf(request);
        const login = form.get('login') ?? '';
        const person = Object.hasOwn(people, login) ? people[login] : undefined;
        if (!person || form.get('password') !== person.password)
            show(loginPage(settings.name, uid, people, asked, true), 403);
        else
            await finish({ login: { accountId: login, ...proof(person, form.get('means'), asked) } }, false);
    } else if (step === 'confirm' && prompt.name === 'consent') {
        const grant = new provider.Grant({ accountId: details.session.accountId, clientId: params.client_id });
        grant.addOIDCScope(params.scope);
        await finish({ consent: { grantId: await grant.save() } }, true);
    } else {
        show(page('That was not expected', '<p>Go back to the application and begin again.</p>'), 400);
    }
    return true;
}
