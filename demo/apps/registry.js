// SPDX-License-Identifier: EUPL-1.2
/* Health's registry: looked up by machines, often. GET /records/** is answered at once, without a look at the
 * assertion, so that what is measured through it is the gateway; all else is as in the other two. */
import { serve } from './app.js';

const RECORD = Buffer.from(JSON.stringify({ record: 'example', status: 'active', filler: 'x'.repeat(971) }));
const HEAD = { 'content-type': 'application/json', 'content-length': RECORD.length };

serve({
    id: 'registry',
    title: 'Registry',
    colour: '#5b4b9a',
    links: [['Record 1', '/records/1'], ['All of them, for export', '/records/export/all']],
    about: ({ target, assertion: { claims } }) => `${claims?.service ?? claims?.sub ?? 'somebody'} looks up ${target}.`,
    quick: (request, response) => {
        if (request.method !== 'GET' || !request.url.startsWith('/records/'))
            return false;
        response.writeHead(200, HEAD).end(RECORD);
        return true;
    },
});
