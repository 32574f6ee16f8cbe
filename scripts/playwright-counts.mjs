// Prints "PASSED FAILED" from Playwright's JSON report; "0 1" where it wrote none.
import { readFileSync } from 'node:fs';

try {
  const { stats, errors } = JSON.parse(readFileSync(process.argv[2], 'utf8'));
  const failed = stats.unexpected + (stats.unexpected === 0 ? errors.length : 0);
  if (stats.flaky > 0) console.error(`${stats.flaky} browser tests were flaky: they failed first and passed when tried again`);
  console.log(`${stats.expected + stats.flaky} ${failed}`);
} catch {
  console.log('0 1');
}
