// SPDX-License-Identifier: EUPL-1.2
// Health's claims desk: reimbursements, handled by case workers on the agency's tablets.
import { serve } from './app.js';

serve({
    id: 'claims-desk',
    title: 'Claims desk',
    colour: '#00857c',
    about: ({ target, assertion: { claims } }) => `${claims?.sub ?? 'nobody'} works on ${target}.`,
});
