// Accessibility: without JavaScript, by keyboard, by touch, with large text, in the dark theme, with reduced
// motion. Axe (31), target sizes (33) and reflow (34) are checked for every page by accessibility.spec.ts.
import type { Page } from '@playwright/test';
import { expectNothingWrong } from '../../support/accessible.ts';
import { expect, test } from '../../support/fixtures.ts';
import { switchLight } from '../../support/menu.ts';
import { expectPaid, payButton } from '../../support/paying.ts';
import { PASSWORD, type Person } from '../../support/people.ts';

type Someone = (name: string) => Promise<Person>;

/** Every kind of page once, for a member who buys and sells. */
async function memberPages(someone: Someone): Promise<{ page: Page; paths: string[] }> {
  const [seller, buyer] = [await someone('Sally'), await someone('Bea')];
  const event = await seller.createEvent();
  const bought = await buyer.reserve(await seller.listTicket(event, 2500, { section: 'Stalls' }));
  await buyer.pay(bought);
  await buyer.listTicket(event, 900, { section: 'Circle' });
  const open = await buyer.reserve(await seller.listTicket(await seller.createEvent(), 2500));
  const paths = ['/', '/?q=the', `/events/${event.id}`, `/orders/${open.id}`, `/orders/${bought.id}`, '/orders', '/tickets', `/orders/${bought.id}/tickets`, '/sell', '/selling', `/sell?event=${event.id}`, '/account', '/account/delete', '/help'];
  return { page: buyer.page, paths };
}

const GUEST_PAGES = ['/signin', '/signup', '/forgot', '/reset?token=used'];

/** Both combined, in order: a page and its paths. */
async function* everyPage(someone: Someone, visitor: () => Promise<Person>): AsyncGenerator<[page: Page, path: string]> {
  const { page, paths } = await memberPages(someone);
  for (const path of paths) {
    await page.goto(path);
    yield [page, path];
  }
  const guest = (await visitor()).page;
  for (const path of GUEST_PAGES) {
    await guest.goto(path);
    yield [guest, path];
  }
}

test('24 Works before hydration: without JavaScript one finds, signs up, signs in, reserves and comes to paying', { tag: ['@mobile', '@without-javascript'] }, async ({ someone, visitor }) => {
  const seller = await someone('Sally');
  const event = await seller.createEvent();
  await seller.listTickets(event, 1, 2500, 'Stalls');
  const { page, email } = await visitor();
  await page.goto('/signup');
  await page.getByLabel('E-mail').fill(email);
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Sign up' }).click();
  await expect(page).toHaveURL('/');
  await page.context().clearCookies();
  await page.goto('/');
  await page.getByRole('searchbox', { name: 'Search events' }).fill(event.title);
  await page.getByRole('searchbox', { name: 'Search events' }).press('Enter');
  await page.getByRole('link', { name: event.title }).click();
  await page.getByRole('button', { name: 'Reserve Stalls at £25.00' }).click();
  await page.getByRole('main').getByRole('link', { name: 'Sign in' }).click();
  await page.getByLabel('E-mail').fill(email);
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Sign in', exact: true }).click();
  await page.getByRole('button', { name: 'Reserve 1 ticket and pay' }).click();
  await expect(page.getByRole('button', { name: 'Pay with the test card' })).toBeVisible();
});

test('25 No hydration errors: no page says anything to the console', { tag: ['@desktop', '@with-javascript'] }, async ({ someone, visitor }) => {
  const said: string[] = [];
  const heard = new Set<Page>();
  const listening = async (name: string) => {
    const person = await someone(name);
    listen(person.page);
    return person;
  };
  const listen = (page: Page) => {
    if (heard.has(page)) return;
    heard.add(page);
    page.on('console', (message) => void (['error', 'warning', 'assert'].includes(message.type()) && said.push(`${page.url()}: ${message.text()}`)));
    page.on('pageerror', (error) => void said.push(`${page.url()}: ${error.message}`));
  };
  const guest = async () => {
    const person = await visitor();
    listen(person.page);
    return person;
  };
  let pages = 0;
  for await (const _ of everyPage(listening, guest)) pages += 1;
  expect(pages).toBeGreaterThanOrEqual(10);
  expect(said).toEqual([]);
});

test('31 axe: no violation in the dark theme when switched on by hand either', { tag: ['@mobile', '@with-javascript'] }, async ({ someone }) => {
  const seller = await someone('Sally');
  const event = await seller.createEvent();
  await seller.listTicket(event, 2500, { section: 'Stalls' });
  const { page } = await someone('Bea');
  await page.emulateMedia({ colorScheme: 'light' });
  await page.goto(`/events/${event.id}`);
  await switchLight(page);
  await expect(page.locator('html')).toHaveAttribute('data-theme', 'dark');
  await expectNothingWrong(page);
});

/** Presses Tab until `name` has the focus; expects every focused element to be fully visible and not covered. */
async function tabVisibly(page: Page, name: string | RegExp): Promise<void> {
  for (let presses = 0; presses < 80; presses += 1) {
    await page.keyboard.press('Tab');
    const stop = await page.evaluate(() => {
      const element = document.activeElement!;
      const style = getComputedStyle(element);
      // For a checkbox or radio inside a label, the label is visible.
      const seen = element.closest('label') ?? element;
      const { left, top, width, height } = seen.getBoundingClientRect();
      const x = Math.min(Math.max(left + width / 2, 0), innerWidth - 1);
      const y = Math.min(Math.max(top + height / 2, 0), innerHeight - 1);
      const above = document.elementFromPoint(x, y);
      return {
        what: element.outerHTML.slice(0, 100),
        body: element === document.body,
        outlined: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2,
        covered: !above || !(seen.contains(above) || above.contains(seen)),
        inView: top < innerHeight && top + height > 0,
      };
    });
    if (stop.body) continue;
    expect(stop, 'the focus is seen').toMatchObject({ outlined: true, covered: false, inView: true });
    const focused = page.locator(':focus');
    if (await focused.and(page.getByRole('button', { name }).or(page.getByRole('checkbox', { name })).or(page.getByLabel(name))).count()) return;
  }
  throw new Error(`The Tab key does not come to ${String(name)}.`);
}

test('32 Keyboard: a seat is bought with Tab, Space and Enter, and every stop on the way is seen', { tag: ['@desktop', '@with-javascript'] }, async ({ someone }) => {
  const [seller, { page }] = [await someone('Sally'), await someone('Bea')];
  const event = await seller.createEvent();
  for (const seat of ['1', '2', '3']) await seller.listTicket(event, 2500, { section: 'Stalls', row: 'A', seat });
  await page.goto(`/events/${event.id}`);
  await tabVisibly(page, 'Stalls, Row A, Seat 2');
  await page.keyboard.press('Space');
  await tabVisibly(page, 'Reserve these seats');
  await page.keyboard.press('Space');
  await expect(payButton(page)).toBeEnabled();
  for (const [label, text] of [['Card number', '4242424242424242'], ['Expiry', '1240'], ['Security code', '123']] as const) {
    await tabVisibly(page, label);
    await page.keyboard.type(text);
  }
  await tabVisibly(page, /^Pay £/);
  await page.keyboard.press('Space');
  await expectPaid(page);
});

test('35 Dark mode: what was chosen is in the first byte of the next page, so that nothing flashes', { tag: ['@desktop', '@with-javascript'] }, async ({ page }) => {
  await page.emulateMedia({ colorScheme: 'light' });
  await page.goto('/');
  await expect(page.locator('html')).not.toHaveAttribute('data-theme', 'dark');
  await page.getByRole('button', { name: 'Switch between light and dark' }).click();
  await expect(page.locator('html')).toHaveAttribute('data-theme', 'dark');
  for (const path of ['/', '/signin', '/help']) {
    const html = await (await page.request.get(path)).text();
    expect(html, path).toMatch(/^<!DOCTYPE html>\s*<html[^>]*data-theme="dark"/i);
  }
});

test('36 Motion: with reduced motion, no animation takes longer than 0.2 s', { tag: ['@desktop', '@with-javascript'] }, async ({ someone, visitor }) => {
  const longest = (page: Page) =>
    page.evaluate(() => {
      const seconds = (list: string) => Math.max(...list.split(',').map((one) => parseFloat(one) * (one.trim().endsWith('ms') ? 0.001 : 1)));
      const moving = [...document.querySelectorAll('*')].flatMap((element) =>
        [undefined, '::before', '::after'].map((pseudo) => {
          const style = getComputedStyle(element, pseudo);
          const animation = style.animationName === 'none' ? 0 : seconds(style.animationDuration);
          return { time: Math.max(animation, seconds(style.transitionDuration)), what: element.outerHTML.slice(0, 80) };
        }),
      );
      return moving.reduce((most, one) => (one.time > most.time ? one : most), { time: 0, what: '' });
    });
  for await (const [page, path] of everyPage(someone, visitor)) {
    await page.emulateMedia({ reducedMotion: 'reduce' });
    const most = await longest(page);
    expect(most.time, `${path}: ${most.what}`).toBeLessThanOrEqual(0.2);
  }
});

test('37 Landmarks and titles: every page has a title of its own, one heading, a language and a way past the menu', { tag: '@without-javascript' }, async ({ someone, visitor }) => {
  const titles = new Map<string, string>();
  for await (const [page, path] of everyPage(someone, visitor)) {
    const title = await page.title();
    expect(titles.get(title), `"${title}" is ${path} alone`).toBeUndefined();
    titles.set(title, path);
    await expect(page.locator('h1'), path).toHaveCount(1);
    await expect(page.locator('html')).toHaveAttribute('lang', 'en');
    // Pages of tickets for the door or to print have no menu.
    const isSheet = /^\/orders\/.*\/tickets$/.test(path);
    await expect(page.locator('a[href]').first(), path).toHaveText(isSheet ? 'Back to the order' : 'Skip to the page');
    await expect(page.getByRole('main'), path).toHaveCount(1);
    if (!isSheet) for (const landmark of ['banner', 'contentinfo'] as const) await expect(page.getByRole(landmark), path).toHaveCount(1);
  }
});
