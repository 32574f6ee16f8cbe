// From choosing to paying: few steps, few questions, none repeated.
import type { Page } from '@playwright/test';
import { expect, test } from '../../support/fixtures.ts';
import { summary } from '../../support/menu.ts';
import { CARDS, expectPaid, payButton } from '../../support/paying.ts';
import { PASSWORD, type Person } from '../../support/people.ts';

/** An event with two tickets in the stalls. */
async function stalls(someone: (name: string) => Promise<Person>): Promise<string> {
  const seller = await someone('Sally');
  const event = await seller.createEvent();
  await seller.listTickets(event, 2, 2500, 'Stalls');
  return event.id;
}

const reserve = (page: Page) => page.getByRole('button', { name: 'Reserve Stalls at £25.00' });

/** The fields to fill in or choose on this page, except the card. */
const fields = (page: Page) => page.getByRole('main').locator('input:visible, select:visible, textarea:visible').and(page.locator(':not([data-card])'));

const orders = async (page: Page): Promise<unknown[]> => (await (await page.request.get('/api/orders')).json()).orders;

test('8 Few fields: from an event to the card, a newcomer meets eight fields at most', { tag: ['@mobile', '@with-javascript'] }, async ({ someone, visitor }) => {
  const event = await stalls(someone);
  const { page, email } = await visitor();
  let met = 0;
  await page.goto(`/events/${event}`);
  met += await fields(page).count();
  await reserve(page).click();
  await expect(page.getByRole('heading', { name: 'Buy as a guest' })).toBeVisible();
  met += await fields(page).count();
  await page.getByLabel('E-mail').fill(email);
  await page.getByLabel('Name').fill('Gus');
  await page.getByRole('button', { name: 'Go on to pay' }).click();
  await expect(payButton(page)).toBeEnabled();
  met += await fields(page).count();
  expect(met).toBeLessThanOrEqual(8);
});

test('9 Steps: from the event to paid tickets are two new pages, and the current step is shown above', { tag: ['@desktop', '@with-javascript'] }, async ({ someone, payWith }) => {
  const event = await stalls(someone);
  const { page } = await someone('Bea');
  await page.goto(`/events/${event}`);
  let pages = 0;
  page.on('response', (response) => {
    const request = response.request();
    if (request.isNavigationRequest() && request.frame() === page.mainFrame() && response.ok()) pages += 1;
  });
  const step = page.getByRole('list', { name: 'Steps' }).locator('[aria-current="step"]');
  await reserve(page).click();
  await expect(step).toHaveText(/Pay$/);
  await payWith(page, CARDS.good);
  await expectPaid(page);
  await expect(step).toHaveText(/Tickets$/);
  expect(pages, 'the order, and the order paid').toBe(2);
});

test('10 Hold starts late: no clock runs while one signs up', { tag: '@without-javascript' }, async ({ someone, visitor }) => {
  const event = await stalls(someone);
  const { page, email } = await visitor();
  const available = async () => (await (await page.request.get(`/api/events/${event}`)).json()).ticketsAvailable;
  await page.goto(`/events/${event}`);
  await reserve(page).click();
  await expect(page.getByRole('heading', { name: 'Buy as a guest' })).toBeVisible();
  expect(await available(), 'nothing is held yet').toBe(2);
  await page.getByRole('main').getByRole('link', { name: 'Sign up' }).click();
  await page.getByLabel('E-mail').fill(email);
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Sign up' }).click();
  await expect(page).toHaveURL(/\/checkout\?choice=/);
  expect(await available()).toBe(2);
  await page.getByRole('button', { name: 'Reserve 1 ticket and pay' }).click();
  await expect(page.getByRole('timer')).toHaveText(/^1[45]:\d\d$/);
  expect(await available()).toBe(1);
});

test('14 Length told before: how long tickets are held is on the home page and under Help', { tag: '@without-javascript' }, async ({ page }) => {
  await page.goto('/');
  await expect(page.getByText(/held (for you )?for 15 minutes while you pay/).filter({ visible: true })).toHaveCount(1);
  await page.goto('/help');
  await expect(page.getByText('the tickets are yours alone for 15 minutes')).toBeVisible();
});

test('17 No fake urgency: what is said to be left is what the API counts', { tag: '@without-javascript' }, async ({ someone, visitor }) => {
  const [seller, buyer, { page }] = [await someone('Sally'), await someone('Bea'), await visitor()];
  const event = await seller.createEvent();
  const tickets = [];
  for (let count = 0; count < 3; count += 1) tickets.push(await seller.listTicket(event, 2500, { section: 'Stalls' }));
  const left = async () => {
    const { ticketsAvailable } = await (await page.request.get(`/api/events/${event.id}`)).json();
    await page.goto(`/?q=${encodeURIComponent(event.title)}`);
    const card = await page.getByRole('main').locator('.card').innerText();
    await page.goto(`/events/${event.id}`);
    return { api: ticketsAvailable, card, event: await page.getByRole('main').innerText() };
  };
  const three = await left();
  expect(three.api).toBe(3);
  expect(three.card).toContain('3 tickets left');
  expect(three.event).toContain('3 left');
  expect(three.event).toContain('3 available');
  await buyer.reserve(tickets[0]!, tickets[1]!);
  const one = await left();
  expect(one.api).toBe(1);
  expect(one.card).toContain('last ticket');
  expect(one.event).toContain('1 left');
  expect(one.event).toContain('1 available · 2 being bought right now');
});

test('19 Double click safe: reserving and paying twice are one order and one payment', { tag: ['@desktop', '@with-javascript'] }, async ({ someone }) => {
  const event = await stalls(someone);
  const { page } = await someone('Bea');
  let payments = 0;
  page.on('request', (request) => void (payments += Number(request.url().endsWith('/fn/payments/pay'))));
  await page.goto(`/events/${event}`);
  await reserve(page).dblclick();
  await expect(payButton(page)).toBeEnabled();
  expect(await orders(page)).toHaveLength(1);
  for (const [label, text] of [['Card number', CARDS.good.number], ['Expiry', '1240'], ['Security code', '123']] as const) await page.getByLabel(label).fill(text);
  await payButton(page).dblclick();
  await expectPaid(page);
  expect(payments, 'sent once').toBe(1);

  // Going back and submitting the same form again gets the same answer.
  await page.goBack();
  await expect(page).toHaveURL(new RegExp(`/events/${event}$`));
  await page.goForward();
  await expectPaid(page);
  await expect(payButton(page)).toBeHidden();
  expect(await orders(page)).toMatchObject([{ status: 'complete' }]);
});

test('44 Help and legal: help is at the same place on every page, and who sells and how refunds work is said before Pay', { tag: '@without-javascript' }, async ({ someone }) => {
  const event = await stalls(someone);
  const { page } = await someone('Bea');
  const places = new Set<string>();
  for (const path of ['/', `/events/${event}`, '/orders', '/tickets', '/account', '/sell', '/help']) {
    await page.goto(path);
    const links = await page.getByRole('contentinfo').getByRole('link').evaluateAll((all) => all.map((link) => link.getAttribute('href')));
    places.add(JSON.stringify(links));
  }
  expect([...places]).toEqual([expect.stringContaining('/help')]);

  await page.goto(`/events/${event}`);
  await expect(page.getByText('from Sally')).toBeVisible();
  await reserve(page).click();
  await expect((await summary(page)).getByRole('listitem')).toContainText('from Sally');
  const main = page.getByRole('main');
  await expect(main.getByText('If a seller cannot provide the tickets, your money goes back to your card.')).toBeVisible();
  await expect(main.getByRole('link', { name: 'Questions?' })).toHaveAttribute('href', '/help');
  const order = page.url();
  await main.getByRole('link', { name: 'How refunds work' }).click();
  await expect(page.getByRole('region', { name: 'Refunds' })).toContainText('A sale is final for the buyer.');
  await page.goto(order);
  await main.getByRole('link', { name: 'terms of sale' }).click();
  await expect(page.getByRole('region', { name: 'Terms of sale' })).toContainText('A ticket is sold by the person named beside it');
});

test('45 No redundant entry: whoever is signed in is asked for nothing that is known', { tag: ['@mobile', '@without-javascript'] }, async ({ someone }) => {
  const event = await stalls(someone);
  const { page, email, name } = await someone('Bea');
  await page.goto(`/events/${event}`);
  await reserve(page).click();
  await expect(page.getByRole('timer')).toBeVisible();
  await expect(page.getByRole('main').getByLabel(/name|mail|address|phone/i)).toHaveCount(0);
  await page.goto('/account');
  await expect(page.getByLabel('Name')).toHaveValue(name);

  // Signing in needs only a remembered or pasted password, no puzzle; an address is typed once.
  await page.context().clearCookies();
  await page.goto('/signin');
  await expect(fields(page)).toHaveCount(2);
  await page.getByLabel('E-mail').fill(email);
  await page.getByLabel('Password').fill('wrong horse');
  await page.getByRole('button', { name: 'Sign in', exact: true }).click();
  await expect(page.getByRole('alert')).toBeVisible();
  await expect(page.getByLabel('E-mail')).toHaveValue(email);
});
