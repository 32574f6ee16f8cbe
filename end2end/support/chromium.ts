// Which browser, and how it is started. The system's own Chromium: Playwright downloads none here.
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import type { LaunchOptions } from '@playwright/test';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];

function findOnPath(): string {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    for (const name of NAMES) {
      const candidate = join(folder, name);
      try {
        accessSync(candidate, constants.X_OK);
        return candidate;
      } catch {
        // not here
      }
    }
  }
  throw new Error('No Chromium on PATH: install one, or name its program in PLAYWRIGHT_CHROMIUM.');
}

export function chromium(): LaunchOptions {
  return {
    executablePath: process.env.PLAYWRIGHT_CHROMIUM || findOnPath(),
    args: [
      // Chromium's sandbox does not start as root; it opens only the shop's pages here.
      ...(process.getuid?.() === 0 ? ['--no-sandbox'] : []),
      // No requests to the browser vendor's servers.
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  };
}
