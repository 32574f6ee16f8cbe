// Prints "PASSED FAILED" from Playwright's JSON report; "0 1" without one. With a second argument, appends
// the error of each failed test to that file.
import { appendFileSync, readFileSync } from 'node:fs';

const [reportFile, failuresFile] = process.argv.slice(2);
/** Lines kept of an error: the call log that follows is in the HTML report. */
const LINES_MAX = 25;

function* specs(suites) {
  for (const suite of suites) {
    yield* suite.specs ?? [];
    yield* specs(suite.suites ?? []);
  }
}

function failures(report) {
  const said = [];
  for (const spec of specs(report.suites ?? [])) {
    for (const test of spec.tests.filter((test) => test.status === 'unexpected')) {
      const error = test.results.at(-1)?.errors?.[0]?.message ?? 'no message';
      const lines = error.replace(/\u001b\[[0-9;]*m/g, '').split('\n').slice(0, LINES_MAX);
      said.push(`---- ${spec.file}:${spec.line} ${spec.title} (${test.projectName}) ----`, ...lines);
    }
  }
  return said;
}

try {
  const report = JSON.parse(readFileSync(reportFile, 'utf8'));
  const { stats, errors } = report;
  const failed = stats.unexpected + (stats.unexpected === 0 ? errors.length : 0);
  if (stats.flaky > 0) console.error(`${stats.flaky} browser tests were flaky: they failed first and passed when retried`);
  const said = failuresFile ? failures(report) : [];
  if (said.length > 0) appendFileSync(failuresFile, `${said.join('\n')}\n`);
  console.log(`${stats.expected + stats.flaky} ${failed}`);
} catch {
  console.log('0 1');
}
