// SPDX-License-Identifier: EUPL-1.2
// Health's claims desk: reimbursements, handled by case workers on the agency's tablets.
import { serve } from './app.js';

serve({
    id: 'claims-desk',
    title: 'Claims desk',
    colour: '#00756d',
    links: [['Claim 7', '/claims/7'], ['Claim 8', '/claims/8']],
    about: ({ target, assertion: { claims } }) => `${claims?.sub ?? 'nobody'} works on ${target}.`,
    form: ({ target }) => /^\/claims\/\w+$/.test(target) && { action: target, label: 'A note to this claim', button: 'Save it' },
});
