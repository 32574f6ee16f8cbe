// The end of a hold, on a server that holds tickets for six seconds and five more for a payment that
// has begun.
import type { Page } from '@playwright/test';
import { expect, test } from '../support/fixtures.ts';
import { SHORT_HOLD_SECONDS } from '../support/global-setup.ts';
import { CARDS, alert, expectPaid, expectTheBankToAsk, secondsLeft } from '../support/paying.ts';
import type { Order, Person } from '../support/people.ts';

test.use({ hold: 'short' });

/** Longer than a hold and its grace. */
const UNTIL_THE_END = { timeout: 20_000 };

const ranOut = (page: Page) => page.getByRole('heading', { name: 'The time to pay ran out' });

/** Waits for the end as a buyer does: the page updates by itself, or without JavaScript when it is reloaded. */
async function seeTheEnd(page: Page, javaScriptEnabled: boolean): Promise<void> {
  if (javaScriptEnabled) {
    await expect(ranOut(page)).toBeVisible(UNTIL_THE_END);
  } else {
    await expect.poll(async () => (await page.reload(), ranOut(page).isVisible()), UNTIL_THE_END).toBe(true);
  }
}

/** A buyer who has a ticket reserved and sees the order. */
async function anOpenOrder(someone: (name: string) => Promise<Person>): Promise<{ buyer: Person; order: Order; event: string }> {
  const [seller, buyer] = [await someone('Sally'), await someone('Bea')];
  const event = await seller.createEvent();
  const ticket = await seller.listTicket(event, 2500, { section: 'Stalls' });
  const order = await buyer.reserve(ticket);
  await buyer.page.goto(`/orders/${order.id}`);
  return { buyer, order, event: `/events/${event.id}` };
}

test('the countdown ends, and the page says so without a reload', { tag: ['@with-javascript', '@every-browser'] }, async ({ someone }) => {
  const { page } = (await anOpenOrder(someone)).buyer;
  const clock = page.getByRole('timer');
  await expect(clock).toHaveText(/^0:0[3-6]$/);
  await expect(page.getByText('Less than a minute is left to pay.')).toBeAttached();
  await expect(clock).toHaveText(/^0:0[12]$/);
  await expect(ranOut(page)).toBeVisible(UNTIL_THE_END);
  await expect(page.getByText('You were not charged.')).toBeVisible();
  await expect(clock).toBeHidden();
});

test('without JavaScript the page says that the time ran out when it is reloaded', { tag: '@without-javascript' }, async ({ someone }) => {
  const { page } = (await anOpenOrder(someone)).buyer;
  expect(await secondsLeft(page)).toBeLessThanOrEqual(SHORT_HOLD_SECONDS);
  await expect(page.getByRole('paragraph').filter({ hasText: 'Load the page again to see how much time is left.' })).toBeVisible();
  await seeTheEnd(page, false);
  await expect(page.getByText('You were not charged.')).toBeVisible();
  await expect(page.getByRole('timer')).toBeHidden();
});

test('neither a reload nor a second tab lengthens the countdown', async ({ someone, javaScriptEnabled }) => {
  const { buyer } = await anOpenOrder(someone);
  const readings = [await secondsLeft(buyer.page)];
  const read = async (page: Page) => {
    readings.push(await secondsLeft(page));
    return readings.at(-1);
  };
  expect(readings[0]).toBeLessThanOrEqual(SHORT_HOLD_SECONDS);
  await expect.poll(async () => (await buyer.page.reload(), read(buyer.page))).toBeLessThan(readings[0]!);
  const second = await buyer.anotherTab();
  await second.goto(buyer.page.url());
  await read(second);
  expect(readings, 'never more than before').toEqual(readings.toSorted((a, b) => b - a));
  await seeTheEnd(buyer.page, javaScriptEnabled);
  await seeTheEnd(second, javaScriptEnabled);
});

test('a ticket whose hold ended is for sale again to others', async ({ someone, javaScriptEnabled }) => {
  const { buyer, event } = await anOpenOrder(someone);
  const rival = (await someone('Rivka')).page;
  await rival.goto(event);
  await expect(rival.getByText('Nothing is for sale right now.')).toBeVisible();

  await seeTheEnd(buyer.page, javaScriptEnabled);
  await rival.goto(event);
  await rival.getByRole('button', { name: 'Reserve Stalls at £25.00' }).click();
  await expect(rival.getByRole('complementary', { name: 'What you are buying' })).toContainText('Stalls');
  await expect(rival.getByRole('timer')).toBeVisible();

  await buyer.page.goto('/orders');
  await expect(buyer.page.getByRole('main').getByRole('listitem')).toContainText('Expired');
  await buyer.page.goto('/tickets');
  await expect(buyer.page.getByText('You have no tickets yet.')).toBeVisible();
});

test('paying after the end on a page that does not know it yet charges nothing', { tag: '@without-javascript' }, async ({ someone, payWith }) => {
  const { buyer, order } = await anOpenOrder(someone);
  await expect.poll(async () => (await buyer.look(order)).status, UNTIL_THE_END).toBe('expired');
  await payWith(buyer.page, CARDS.good);
  await expect(ranOut(buyer.page)).toBeVisible();
  await buyer.page.goto('/tickets');
  await expect(buyer.page.getByText('You have no tickets yet.')).toBeVisible();
});

test('on a slow connection, too, the page says that the time ran out', { tag: '@with-javascript' }, async ({ someone }) => {
  const { page } = (await anOpenOrder(someone)).buyer;
  const browser = await page.context().newCDPSession(page);
  await browser.send('Network.emulateNetworkConditions', { offline: false, latency: 700, downloadThroughput: -1, uploadThroughput: -1 });
  await expect(ranOut(page)).toBeVisible(UNTIL_THE_END);
});

test('a buyer who is at their bank when the hold ends can still answer and gets the tickets', async ({ someone, payWith, javaScriptEnabled }) => {
  const { buyer, order } = await anOpenOrder(someone);
  await payWith(buyer.page, CARDS.bankAsks);
  await expectTheBankToAsk(buyer.page, javaScriptEnabled);
  const wellIntoTheGrace = Date.parse(order.expiresAt) + 1000;
  await expect.poll(() => Date.now(), { ...UNTIL_THE_END, intervals: [100] }).toBeGreaterThan(wellIntoTheGrace);
  await buyer.page.getByRole('button', { name: 'Yes, it is me' }).click();
  await expectPaid(buyer.page);
});

test('a page whose countdown has ended reloads at a moderate rate', { tag: '@with-javascript' }, async ({ someone, payWith, allow }) => {
  allow(/status of 402/);
  const { page } = (await anOpenOrder(someone)).buyer;
  await payWith(page, CARDS.declined);
  await expect(alert(page)).toBeVisible();
  const loads: number[] = [];
  page.on('request', (request) => {
    if (request.isNavigationRequest()) loads.push(Date.now());
  });
  await expect(ranOut(page)).toBeVisible(UNTIL_THE_END);
  const pauses = loads.slice(1).map((load, before) => load - loads[before]!);
  expect(pauses.filter((pause) => pause < 900), 'pauses between loads, in ms').toEqual([]);
});

test('expired tickets are reserved again with one click', async ({ someone, javaScriptEnabled }) => {
  const { buyer } = await anOpenOrder(someone);
  await seeTheEnd(buyer.page, javaScriptEnabled);
  await buyer.page.getByRole('button', { name: 'Reserve 1 ticket again' }).click();
  await expect(buyer.page.getByRole('timer')).toBeVisible();
  await expect(buyer.page.getByRole('complementary', { name: 'What you are buying' })).toContainText('Stalls');
});
