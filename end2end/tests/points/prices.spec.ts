// A ticket's price is shown immediately, as one number, with its currency. The titles' numbers are those of
// the list of points by which a ticket shop is measured.
import type { Page } from '@playwright/test';
import { expect, test } from '../../support/fixtures.ts';
import { summary } from '../../support/menu.ts';
import { CARDS, expectPaid } from '../../support/paying.ts';

/** Every amount in pounds that the page shows, once. */
const amounts = async (page: Page): Promise<string[]> => [...new Set((await page.getByRole('main').innerText()).match(/£[\d,.]*\d/g) ?? [])];

test('1 All-in price in lists: card, event, order and receipt name the same number and no other', { tag: ['@mobile', '@with-javascript'] }, async ({ someone, payWith }) => {
  const [seller, { page }] = [await someone('Sally'), await someone('Bea')];
  const event = await seller.createEvent();
  await seller.listTicket(event, 2550, { section: 'Stalls' });

  await page.goto(`/?q=${encodeURIComponent(event.title)}`);
  expect(await amounts(page), 'in the list').toEqual(['£25.50']);
  await page.getByRole('link', { name: event.title }).click();
  await expect(page.getByRole('heading', { name: event.title, level: 1 })).toBeVisible();
  expect(await amounts(page), 'at the event').toEqual(['£25.50']);
  await page.getByRole('button', { name: 'Reserve Stalls at £25.50' }).click();
  await expect(page.getByRole('timer')).toBeVisible();
  expect(await amounts(page), 'while paying').toEqual(['£25.50']);
  await payWith(page, CARDS.good);
  await expectPaid(page);
  expect(await amounts(page), 'when paid').toEqual(['£25.50']);
  await page.goto('/orders');
  expect(await amounts(page), 'among the orders').toEqual(['£25.50']);
});

test('2 Total most prominent: no amount is written larger than the total, and what it is made of is in sight', { tag: ['@mobile', '@with-javascript'] }, async ({ someone }) => {
  const [seller, buyer] = [await someone('Sally'), await someone('Bea')];
  const event = await seller.createEvent();
  const tickets = [await seller.listTicket(event, 2550), await seller.listTicket(event, 1000)];
  const order = await buyer.reserve(...tickets);
  await buyer.page.goto(`/orders/${order.id}`);
  await summary(buyer.page);
  const sizes = await buyer.page.getByRole('main').evaluate((main) => {
    const texts = document.createTreeWalker(main, NodeFilter.SHOW_TEXT);
    const found: Record<string, number> = {};
    while (texts.nextNode()) {
      const text = texts.currentNode.textContent?.trim() ?? '';
      const element = texts.currentNode.parentElement!;
      if (!/£\d/.test(text) || !element.checkVisibility()) continue;
      const name = element.closest('.total') ? 'total' : text;
      found[name] = Math.max(found[name] ?? 0, parseFloat(getComputedStyle(element).fontSize));
    }
    return found;
  });
  const { total, ...others } = sizes;
  expect(Object.keys(others), 'its parts are in sight').toEqual(expect.arrayContaining(['£25.50', '£10.00']));
  for (const [text, size] of Object.entries(others)) expect(total, `the total is larger than "${text}"`).toBeGreaterThan(size);
});

test('3 Fees named honestly: there are none, the lines add up to the total, and this is said', { tag: '@without-javascript' }, async ({ someone }) => {
  const [seller, buyer] = [await someone('Sally'), await someone('Bea')];
  const event = await seller.createEvent();
  const order = await buyer.reserve(await seller.listTicket(event, 2550), await seller.listTicket(event, 1000));
  await buyer.page.goto(`/orders/${order.id}`);
  const bought = await summary(buyer.page);
  await expect(bought.getByRole('listitem')).toHaveText([/£(25\.50|10\.00)$/, /£(25\.50|10\.00)$/]);
  await expect(bought).toContainText('Total£35.50');
  await expect(bought.getByText('This is all you pay: no fees are added.')).toBeVisible();
  await expect(bought.getByText(/fee|charge|service|VAT/i), 'no other line').toHaveCount(1);
  await expect(buyer.page.getByRole('contentinfo')).toContainText('Every price is the full price.');
});

test('4 Currency explicit: every amount has its sign or code', { tag: '@without-javascript' }, async ({ page }) => {
  await page.goto('/');
  const prices = await page.getByRole('main').locator('.card strong').allInnerTexts();
  expect(prices.length).toBeGreaterThanOrEqual(12);
  for (const price of prices) expect(price).toMatch(/^(?:\p{Sc}|[A-Z]{1,2}\p{Sc}|[A-Z]{3}\u00a0)\d{1,3}(?:,\d{3})*(?:\.\d{2,3})?$/u);
  expect(new Set(prices.map((price) => price.replace(/[\d,.]/g, ''))).size, 'more than one currency is on').toBeGreaterThan(1);

  await page.getByRole('link', { name: 'Paper Cranes' }).click();
  await expect(page.getByRole('heading', { name: 'Paper Cranes', level: 1 })).toBeVisible();
  await expect(page.locator('.price').first(), 'yen have no decimals').toHaveText(/^¥[\d,]+$/);
});

test('5 Face value next to resale price: what was first paid stands beside what is asked', { tag: ['@mobile', '@without-javascript'] }, async ({ someone, visitor }) => {
  const [seller, { page }] = [await someone('Sally'), await visitor()];
  const event = await seller.createEvent();
  const list = (section: string, priceMinor: number, faceValueMinor: number) =>
    seller.page.request.post('/api/tickets', { data: { eventId: event.id, section, priceMinor, faceValueMinor } });
  await list('Stalls', 2500, 2000);
  await list('Circle', 2000, 2000);
  await page.goto(`/events/${event.id}`);
  const offer = (section: string) => page.getByRole('listitem').filter({ hasText: section });
  await expect(offer('Stalls')).toContainText('£25.00');
  await expect(offer('Stalls')).toContainText('face value £20.00');
  await expect(offer('Circle')).toContainText('at face value');
});
