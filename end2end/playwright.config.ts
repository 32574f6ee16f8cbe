// Browser tests against the binary that `make run` serves. Started by `make e2e`, or from this folder
// by `npx playwright test` after `make bin`. Every test runs on a desktop with JavaScript and on a small phone
// without, unless a tag restricts it (@with-javascript, @without-javascript, @desktop, @mobile) or adds the
// phone with JavaScript (@every-browser). These two differ most; each further combination would add a third to the
// longest part of `make test`.
import { defineConfig, devices } from '@playwright/test';
import { chromium } from './support/chromium.ts';

const phone = { viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 };
const desktop = devices['Desktop Chrome'];
const tagged = (...tags: string[]) => tags.map((tag) => new RegExp(`${tag}\\b`));

export default defineConfig({
  testDir: './tests',
  outputDir: './test-results',
  snapshotPathTemplate: './snapshots/{projectName}/{arg}{ext}',
  globalSetup: './support/global-setup.ts',
  fullyParallel: true,
  workers: 2,
  forbidOnly: !!process.env.CI,
  retries: process.env.CI ? 1 : 0,
  timeout: 45_000,
  expect: { timeout: 8_000 },
  reporter: [
    ['list'],
    ['html', { open: 'never', outputFolder: './playwright-report' }],
    ...(process.env.STAGEDOOR_E2E_JSON ? [['json', { outputFile: process.env.STAGEDOOR_E2E_JSON }] as const] : []),
  ],
  use: {
    locale: 'en-GB',
    timezoneId: 'Europe/London',
    // Recording takes a third of a test's time, so CI records only the second try of a failed test.
    trace: process.env.CI ? 'on-first-retry' : 'retain-on-failure',
    screenshot: 'only-on-failure',
    launchOptions: chromium(),
  },
  projects: [
    { name: 'desktop', grepInvert: tagged('@without-javascript', '@mobile'), use: { ...desktop, viewport: { width: 1280, height: 800 } } },
    {
      name: 'mobile',
      grep: tagged('@mobile', '@every-browser'),
      grepInvert: tagged('@without-javascript', '@desktop'),
      use: { ...desktop, ...phone },
    },
    { name: 'mobile-nojs', grepInvert: tagged('@with-javascript', '@desktop'), use: { ...desktop, ...phone, javaScriptEnabled: false } },
  ],
});
