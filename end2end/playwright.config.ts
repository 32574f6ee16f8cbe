// Browser tests against the binary that `make run` serves. Started by `make e2e`, or from this folder
// by `npx playwright test` once `make bin` has run. Every test runs in four ways: wide and as on a
// small phone, each with and without JavaScript, unless it says that it needs one of them.
import { defineConfig, devices } from '@playwright/test';
import { chromium } from './support/chromium.ts';

const phone = { viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 };
const desktop = devices['Desktop Chrome'];
const withJavaScript = { grepInvert: /@without-javascript/ };
const withoutJavaScript = { grepInvert: /@with-javascript/ };

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
    { name: 'desktop', ...withJavaScript, use: { ...desktop, viewport: { width: 1280, height: 800 } } },
    { name: 'mobile', ...withJavaScript, use: { ...desktop, ...phone } },
    {
      name: 'desktop-nojs',
      ...withoutJavaScript,
      use: { ...desktop, viewport: { width: 1280, height: 800 }, javaScriptEnabled: false },
    },
    { name: 'mobile-nojs', ...withoutJavaScript, use: { ...desktop, ...phone, javaScriptEnabled: false } },
  ],
});
