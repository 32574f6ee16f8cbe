// What every browser test stands on: a page that is alive when a test touches it, a guard that fails
// the test for what the browser complains about, and people and events that no other test shares.
import { test as base, expect, type BrowserContext, type Page } from '@playwright/test';
import { payByCard, type Card } from './paying.ts';
import { Person } from './people.ts';

export { expect };

interface Fixtures {
  /** Requests that this test means to fail, by URL or console text: `allow(/\/orders\/unknown/)`. */
  allow: (pattern: RegExp) => void;
  /** Another person with a browser of their own, signed up by REST; `visitor` leaves them signed out. */
  someone: (name: string) => Promise<Person>;
  visitor: () => Promise<Person>;
  /** Pays the order that a page shows: by the card form, or without JavaScript by the demo cards. */
  payWith: (page: Page, card: Card) => Promise<void>;
  /** Set by `test.use({ hold: 'short' })`: which of the servers, by how long it holds tickets. */
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
    // The recorder of traces fetches what a page shows of a chosen file, which the page's policy forbids.
    complaints.allowed.push(/^console: Connecting to 'blob:/);
    // A browser without JavaScript loads no script, and gives this as the reason.
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

/** Makes `page.goto` wait until the islands are alive: a click before that meets no handler. */
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

/** Holds back what the page asks for at such addresses, until it is let go of. */
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
 * From page to page the shop asks for a fade in its CSS alone. Where the browser leaves it out, it rejects
 * a promise that no script has, and reports that as an error of the page, without a line of any script.
 */
export const FADES_LEFT_OUT = [
  // The way to a page that is not the shop's, the bank's for one.
  /^exception: InvalidStateError: .*ViewTransition opt-in disabled/,
  // A test that changes the size of the window while a page fades in.
  /^exception: InvalidStateError: Transition was aborted because of invalid state\. Viewport size changed/,
  // A page that was shown before its fade was ready, on a busy machine.
  /^exception: InvalidStateError: .*Page already revealed/,
  // A page that was left, resized or hidden while it faded (Chromium 148, perhaps with a reason behind it).
  /^exception: AbortError: Transition was skipped(\.[^\n(]*)? \([^\n]*\)$/,
];

/** Everything that would be red in the browser's developer tools. */
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
      // Leaving a page ends its event stream and prefetches: that is no failure.
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
