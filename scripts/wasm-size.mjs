// The size of the WASM, compressed as it is served, which a buyer downloads before a page is interactive.
// Prints it, and fails if it is over the budget.
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
  console.error(`error: ${file} is over its budget: islands must not use code that is only for pages.`);
  process.exit(1);
}
