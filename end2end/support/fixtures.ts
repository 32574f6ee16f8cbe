// Fixtures of all browser tests: a page that is hydrated before a test uses it, a guard that fails the test
// on browser errors, and users and events that no other test shares.
import { test as base, expect, type BrowserContext, type Page } from '@playwright/test';
import { payByCard, type Card } from './paying.ts';
import { Person } from './people.ts';

export { expect };

interface Fixtures {
  /** Allows expected failures, by URL or console text: `allow(/\/orders\/unknown/)`. */
  allow: (pattern: RegExp) => void;
  /** Another user with their own browser, signed up by REST; `visitor` is signed out. */
  someone: (name: string) => Promise<Person>;
  visitor: () => Promise<Person>;
  /** Pays the order that a page shows: with the card form, or without JavaScript with the demo cards. */
  payWith: (page: Page, card: Card) => Promise<void>;
  /** Set by `test.use({ hold: 'short' })`: selects a server by the length of its holds. */
  hold: 'usual' | 'short' | 'middling';
}

export const test = base.extend<Fixtures & { complaints: Complaints }>({
  hold: ['usual', { option: true }],

  baseURL: async ({ hold }, use) => {
    const urls = {
      usual: process.env.STAGEDOOR_E2E_URL,
      short: process.env.STAGEDOOR_E2E_SHORT_HOLD_URL,
      middling: process.env.STAGEDOOR_E2E_MIDDLING_HOLD_URL,
    };
    await use(urls[hold]);
  },

  complaints: async ({ javaScriptEnabled }, use) => {
    const complaints = new Complaints();
    complaints.allowed.push(...FADES_LEFT_OUT);
    // Playwright's trace recorder fetches the preview of a chosen file, which the page's policy forbids.
    complaints.allowed.push(/^console: Connecting to 'blob:/);
    // A browser without JavaScript reports this for scripts.
    if (!javaScriptEnabled) complaints.allowed.push(/^request: GET \S+\.js csp$/);
    await use(complaints);
    expect(complaints.found(), 'the browser has nothing to complain about').toEqual([]);
  },

  allow: async ({ complaints }, use) => use((pattern) => complaints.allowed.push(pattern)),

  context: async ({ context, complaints }, use) => {
    complaints.listenTo(context);
    await use(context);
  },

  page: async ({ page, javaScriptEnabled }, use) => {
    await use(alive(page, javaScriptEnabled));
  },

  visitor: async ({ browser, complaints, javaScriptEnabled }, use) => {
    const contexts: BrowserContext[] = [];
    await use(async () => {
      const context = await browser.newContext();
      contexts.push(context);
      complaints.listenTo(context);
      const prepare = (page: Page) => alive(page, javaScriptEnabled);
      return new Person(prepare(await context.newPage()), prepare);
    });
    for (const context of contexts) await context.close();
  },

  payWith: async ({ javaScriptEnabled }, use) => {
    await use((page, card) => payByCard(page, card, javaScriptEnabled));
  },

  someone: async ({ visitor }, use) => {
    await use(async (name) => {
      const person = await visitor();
      await person.signUpByRest(name);
      return person;
    });
  },
});

/** Makes `page.goto` wait for hydration: a click before that has no handler. */
function alive(page: Page, javaScriptEnabled: boolean): Page {
  const goto = page.goto.bind(page);
  page.goto = async (url, options) => {
    const response = await goto(url, options);
    if (javaScriptEnabled) await hydrated(page);
    return response;
  };
  return page;
}

/** For navigations that were not a `goto`: a form, a link. Without JavaScript there is nothing to wait for. */
export async function hydrated(page: Page): Promise<void> {
  await page.waitForSelector('html[data-hydrated]', { state: 'attached' });
}

/** Delays the page's requests to matching URLs until they are released. */
export async function holdBack(page: Page, addresses: string): Promise<() => void> {
  let release = () => {};
  const held = new Promise<void>((go) => (release = go));
  await page.route(addresses, async (route) => {
    await held;
    await route.continue();
  });
  return release;
}

/**
 * The shop's CSS requests view transitions between pages. If the browser skips one, it rejects a promise that
 * no script has, and reports that as an error of the page, without a script's line.
 */
export const FADES_LEFT_OUT = [
  // Navigation to another site, for example the bank.
  /^exception: InvalidStateError: .*ViewTransition opt-in disabled/,
  // The window was resized during the transition.
  /^exception: InvalidStateError: Transition was aborted because of invalid state\. Viewport size changed/,
  // The page was shown before its transition was ready, on a busy machine.
  /^exception: InvalidStateError: .*Page already revealed/,
  // The page was left, resized or hidden during the transition (Chromium 148, perhaps with a reason appended).
  /^exception: AbortError: Transition was skipped(\.[^\n(]*)? \([^\n]*\)$/,
];

/** All errors that the browser's developer tools would show. */
class Complaints {
  readonly allowed: RegExp[] = [];
  private readonly seen: string[] = [];

  listenTo(context: BrowserContext): void {
    context.on('weberror', (error) => {
      const { name, message, stack } = error.error();
      this.seen.push(`exception: ${stack || `${name}: ${message}`} (${error.page()?.url()})`);
    });
    context.on('console', (message) => {
      if (message.type() === 'error') this.seen.push(`console: ${message.text()} (${message.location().url})`);
    });
    context.on('requestfailed', (request) => {
      // Leaving a page cancels its event stream and prefetches: no failure.
      const reason = request.failure()?.errorText ?? '';
      if (!/ERR_ABORTED/.test(reason)) this.seen.push(`request: ${request.method()} ${request.url()} ${reason}`);
    });
    context.on('response', (response) => {
      if (response.status() >= 500) this.seen.push(`response: ${response.status()} ${response.url()}`);
    });
  }

  found(): string[] {
    return this.seen.filter((complaint) => !this.allowed.some((pattern) => pattern.test(complaint)));
  }
}
