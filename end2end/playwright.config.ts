// Browser tests against the binary that `make run` serves. Started by `make e2e`, or from this folder
// by `npx playwright test` after `make bin`. Every test runs in four projects: desktop and small phone, each
// with and without JavaScript, unless a tag restricts it: @with-javascript, @without-javascript, @desktop,
// @mobile.
import { defineConfig, devices } from '@playwright/test';
import { chromium } from './support/chromium.ts';

const phone = { viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 };
const desktop = devices['Desktop Chrome'];
/** All tests except those that these tags restrict to other projects. */
const without = (...tags: string[]) => ({ grepInvert: tags.map((tag) => new RegExp(`${tag}\\b`)) });

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
    trace: 'retain-on-failure',
    screenshot: 'only-on-failure',
    launchOptions: chromium(),
  },
  projects: [
    { name: 'desktop', ...without('@without-javascript', '@mobile'), use: { ...desktop, viewport: { width: 1280, height: 800 } } },
    { name: 'mobile', ...without('@without-javascript', '@desktop'), use: { ...desktop, ...phone } },
    {
      name: 'desktop-nojs',
      ...without('@with-javascript', '@mobile'),
      use: { ...desktop, viewport: { width: 1280, height: 800 }, javaScriptEnabled: false },
    },
    { name: 'mobile-nojs', ...without('@with-javascript', '@desktop'), use: { ...desktop, ...phone, javaScriptEnabled: false } },
  ],
});
