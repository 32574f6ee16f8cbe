// Compares pages with pictures in `snapshots/`: only pages that are the same every day. `/ui` shows every
// component, so every change of the stylesheet is noticed here.
import { readFileSync } from 'node:fs';
import { expect, test } from '../support/fixtures.ts';

// Browsers render text differently, so the pictures are for one version of Chromium.
const DRAWN_BY = readFileSync(new URL('../snapshots/browser.txt', import.meta.url), 'utf8').trim();

const PAGES = [
  { name: 'components', path: '/ui' },
  { name: 'signing-in', path: '/signin' },
  { name: 'signing-up', path: '/signup' },
  { name: 'help', path: '/help' },
  { name: 'not-found', path: '/nothing-here' },
];

for (const colorScheme of ['light', 'dark'] as const) {
  test.describe(`by ${colorScheme === 'light' ? 'day' : 'night'}`, { tag: ['@with-javascript', '@every-browser'] }, () => {
    // Half size: enough to see what moved, and small enough for the repository.
    test.use({ colorScheme, deviceScaleFactor: 0.5 });

    for (const { name, path } of PAGES) {
      test(`${path} looks as it did`, async ({ page, browser, allow }, testInfo) => {
        const major = browser.version().split('.')[0];
        testInfo.skip(major !== DRAWN_BY, `The pictures are Chromium ${DRAWN_BY}'s, and this is ${major}: its letters differ.`);
        if (name === 'not-found') allow(/status of 404/);
        await page.goto(path);
        await expect(page).toHaveScreenshot(`${name}-${colorScheme}.png`, {
          fullPage: true,
          animations: 'disabled',
          scale: 'device',
          maxDiffPixelRatio: 0.03,
        });
      });
    }
  });
}
