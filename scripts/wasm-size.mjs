// What a buyer downloads before a page comes alive: the WASM, compressed as it is served. Prints the
// figure, and fails where it is over the budget.
import { readFileSync } from 'node:fs';
import { brotliCompressSync, constants } from 'node:zlib';

const BUDGET_KB = 150;
const file = 'target/site/pkg/stagedoor.wasm';

const wasm = readFileSync(file);
const compressed = brotliCompressSync(wasm, {
  params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: wasm.length },
}).length;
const kb = (bytes) => (bytes / 1024).toFixed(1);
console.log(`WASM: ${kb(compressed)} KB brotli of at most ${BUDGET_KB} (${kb(wasm.length)} KB plain)`);
if (compressed > BUDGET_KB * 1024) {
  console.error(`error: ${file} is over its budget: what only pages use must not be reached from an island.`);
  process.exit(1);
}
