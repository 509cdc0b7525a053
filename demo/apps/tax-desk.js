// SPDX-License-Identifier: EUPL-1.2
// Finance's tax desk: declarations that officers read and write, and a night job that collects them.
import { serve } from './app.js';

const numberOf = (target) => /^\/declarations\/([\w-]+)/.exec(target)?.[1];

serve({
    id: 'tax-desk',
    title: 'Tax desk',
    colour: '#b00d27',
    links: [['Declaration 7', '/declarations/7'], ['Declaration 12', '/declarations/12'], ['All of them, for export', '/export']],
    about: ({ method, target, assertion: { claims } }) => {
        const who = claims?.sub ?? claims?.service ?? 'nobody';
        const number = numberOf(target);
        if (!number)
            return `Hello ${who}: this is the tax desk.`;
        return `${who} ${method === 'GET' ? 'reads' : 'changes'} declaration ${number}.`;
    },
    form: ({ target }) => numberOf(target) && {
        action: `/declarations/${numberOf(target)}`,
        label: `What you assess declaration ${numberOf(target)} at`,
        button: 'Assess it',
    },
});
