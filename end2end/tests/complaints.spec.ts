// Which browser errors do not fail a test: exactly these.
import { expect, FADES_LEFT_OUT, test } from '../support/fixtures.ts';

const page = '(http://127.0.0.1:20123/orders)';

test('a view transition that the browser skips is no error of the page', { tag: ['@desktop', '@with-javascript'] }, () => {
  for (const complaint of [
    `exception: AbortError: Transition was skipped ${page}`,
    `exception: AbortError: Transition was skipped. Skipped by a newer transition. ${page}`,
    'exception: AbortError: Transition was skipped (undefined)',
    `exception: InvalidStateError: Transition was aborted because of invalid state. ViewTransition opt-in disabled ${page}`,
  ]) {
    expect(FADES_LEFT_OUT.some((fade) => fade.test(complaint)), complaint).toBe(true);
  }
});

test('any other error, of a script or not, fails the test', { tag: ['@desktop', '@with-javascript'] }, () => {
  for (const complaint of [
    `exception: AbortError: The user aborted a request. ${page}`,
    `exception: AbortError: Transition was skipped\n    at show (http://127.0.0.1:20123/pkg/stagedoor.js:1:2) ${page}`,
    `exception: TypeError: Transition was skipped ${page}`,
    `console: AbortError: Transition was skipped ${page}`,
    `exception: InvalidStateError: The object is in an invalid state. ${page}`,
  ]) {
    expect(FADES_LEFT_OUT.some((fade) => fade.test(complaint)), complaint).toBe(false);
  }
});
