// SPDX-License-Identifier: EUPL-1.2
// Finance's tax desk: declarations that officers read and write, and a night job that collects them.
import { serve } from './app.js';

serve({
    id: 'tax-desk',
    title: 'Tax desk',
    colour: '#c8102e',
    about: ({ method, target, assertion: { claims } }) => {
        const who = claims?.sub ?? claims?.service ?? 'nobody';
        const number = /^\/declarations\/([^/?]+)/.exec(target)?.[1];
        if (!number)
            return `Hello ${who}: this is the tax desk.`;
        return `${who} ${method === 'GET' ? 'reads' : 'changes'} declaration ${number}.`;
    },
});
