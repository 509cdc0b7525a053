// SPDX-License-Identifier: EUPL-1.2
// Cedar (its build for WebAssembly), as bench/engines.py drives it: one JSON object on stdin, one on stdout.
// The policy set is parsed once, as the gateway's is compiled once; each request is judged by it, with the entities that it needs.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const input = JSON.parse(readFileSync(0, "utf8"));
const cedar = createRequire(input.modules + "/")("@cedar-policy/cedar-wasm/nodejs");
const parsed = cedar.preparsePolicySet("policy", { staticPolicies: input.policy });
if (parsed.type !== "success") throw new Error(JSON.stringify(parsed));

function judge(call) {
    const answer = cedar.statefulIsAuthorized(call);
    if (answer.type !== "success") throw new Error(JSON.stringify(answer));
    return answer.response.decision === "allow";
}

const calls = input.requests.map((request) => ({ ...request, preparsedPolicySetId: "policy" }));
const verdicts = calls.map(judge);
const ns = [];
for (let round = 0; round < input.rounds; round++) {
    const start = process.hrtime.bigint();
    for (const call of calls) judge(call);
    ns.push(Number(process.hrtime.bigint() - start) / calls.length);
}
ns.sort((a, b) => a - b);
console.log(JSON.stringify({ verdicts, version: cedar.getCedarVersion(), least_ns: ns[0], median_ns: ns[ns.length >> 1] }));
