// SPDX-License-Identifier: EUPL-1.2
// Evaluates JSON lines {"id", "expr"} with @bufbuild/cel and writes {"id", "value"} or {"id", "error"}, in the typed values
// of `belfry policy eval --batch`; but timestamps and durations are [seconds, nanoseconds].
import readline from 'node:readline';
import { celEnv, isCelError, isCelList, isCelMap, isCelUint, parse, plan } from '@bufbuild/cel';

const env = celEnv();

function typed(value) {
  if (value === null) return { null: true };
  if (typeof value === 'boolean') return { bool: value };
  if (typeof value === 'bigint') return { int: String(value) };
  if (typeof value === 'number') return { double: Object.is(value, -0) ? '-0' : String(value) };
  if (typeof value === 'string') return { string: value };
  if (isCelUint(value)) return { uint: String(value.value) };
  if (value instanceof Uint8Array) return { bytes: Buffer.from(value).toString('base64') };
  if (isCelList(value)) return { list: [...value].map(typed) };
  if (isCelMap(value)) return { map: [...value].map(([key, item]) => [typed(key), typed(item)]) };
  const message = value.message ?? value;
  const parts = [String(message.seconds), message.nanos];
  if (message.$typeName === 'google.protobuf.Timestamp') return { timestamp: parts };
  if (message.$typeName === 'google.protobuf.Duration') return { duration: parts };
  throw new Error(`a value of no known type: ${value}`);
}

function evaluate(text) {
  try {
    const value = plan(env, parse(text))({});
    return isCelError(value) ? { error: value.message } : { value: typed(value) };
  } catch (error) {
    return { error: String(error.message ?? error) };
  }
}

for await (const line of readline.createInterface({ input: process.stdin })) {
  const { id, expr } = JSON.parse(line);
  console.log(JSON.stringify({ id, ...evaluate(expr) }));
}
