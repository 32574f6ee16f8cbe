// Points of the live event page and of tickets after buying.
import type { Response } from '@playwright/test';
import { expect, test } from '../../support/fixtures.ts';
import { mailTo } from '../../support/mail.ts';
import type { Event, Order, Person } from '../../support/people.ts';

type Someone = (name: string) => Promise<Person>;

async function aPaidOrder(someone: Someone): Promise<{ buyer: Person; event: Event; order: Order }> {
  const [seller, buyer] = [await someone('Sally'), await someone('Bea')];
  const event = await seller.createEvent();
  const order = await buyer.reserve(await seller.listTicket(event, 2550, { section: 'Stalls' }));
  await buyer.pay(order);
  return { buyer, event, order };
}

test('14 Length told before: how long tickets are held is beside them', { tag: '@without-javascript' }, async ({ someone, visitor }) => {
  const [seller, { page }] = [await someone('Sally'), await visitor()];
  const event = await seller.createEvent();
  await seller.listTicket(event, 2500);
  await page.goto(`/events/${event.id}`);
  await expect(page.getByText('Held for you for 15 minutes while you pay.')).toBeVisible();
});

test('16 Live availability: an open page shows within two seconds that the last ticket is sold', { tag: ['@desktop', '@with-javascript'] }, async ({ someone, visitor }) => {
  const [seller, buyer, { page }] = [await someone('Sally'), await someone('Bea'), await visitor()];
  const event = await seller.createEvent();
  const ticket = await seller.listTicket(event, 2500, { section: 'Stalls' });
  await page.goto(`/events/${event.id}`);
  await expect(page.getByRole('button', { name: 'Reserve Stalls at £25.00' })).toBeVisible();
  await page.evaluate(() => Object.assign(window, { same: true }));
  await buyer.pay(await buyer.reserve(ticket));
  await expect(page.getByText('Sold out.', { exact: true })).toBeVisible({ timeout: 2_000 });
  await expect(page.getByRole('button', { name: /^Reserve/ })).toBeHidden();
  expect(await page.evaluate(() => 'same' in window), 'without loading the page again').toBe(true);
});

test('21 Confirmation: it has a QR code for the door, and the mail has the tickets', { tag: ['@mobile', '@without-javascript'] }, async ({ someone }) => {
  const { buyer, order } = await aPaidOrder(someone);
  const { page } = buyer;
  await page.goto(`/orders/${order.id}`);
  await expect(page.getByRole('main').getByRole('img', { name: /QR/i }).first()).toBeVisible();
  const mail = await mailTo(buyer.email, 'Your ticket for');
  expect(mail, 'the tickets come along').toMatch(/application\/pdf/);
});

test('22 Ticket forms: PDF and calendar are a link away, of the right kind, and nobody else\'s', { tag: '@without-javascript' }, async ({ someone }) => {
  const { buyer, event, order } = await aPaidOrder(someone);
  const nosy = await someone('Nosy');
  await buyer.page.goto(`/orders/${order.id}`);
  for (const [name, path, type, begins] of [
    ['Download PDF', 'tickets.pdf', 'application/pdf', '%PDF-'],
    ['Add to calendar', 'calendar.ics', 'text/calendar', 'BEGIN:VCALENDAR'],
  ] as const) {
    const href = `/orders/${order.id}/${path}`;
    await expect(buyer.page.getByRole('link', { name })).toHaveAttribute('href', href);
    const answer = await buyer.page.request.get(href);
    expect(answer.status()).toBe(200);
    expect(answer.headers()['content-type']).toContain(type);
    expect((await answer.body()).toString('latin1', 0, begins.length)).toBe(begins);
    expect((await nosy.page.request.get(href)).status()).toBe(404);
  }
  expect(await (await buyer.page.request.get(`/orders/${order.id}/calendar.ics`)).text()).toContain(event.title);
  // No wallet is configured, so none is offered.
  for (const path of [`/orders/${order.id}`, '/tickets']) {
    await buyer.page.goto(path);
    await expect(buyer.page.getByText(/wallet/i)).toHaveCount(0);
  }
  expect(await mailTo(buyer.email, 'Your ticket for')).not.toMatch(/wallet/i);
});

test('41 Times: they are in the venue\'s time zone, which is named, everywhere', { tag: '@without-javascript' }, async ({ someone }) => {
  const { page } = await someone('Ann');
  const answer = await page.request.post('/api/events', {
    data: { title: 'Far away', venue: 'Old Hall', city: 'Kyoto', country: 'JP', startsAt: '2031-05-01T19:30:00Z', timeZone: 'Asia/Tokyo', currency: 'JPY' },
  });
  await page.goto(`/events/${(await answer.json()).id}`);
  await expect(page.getByText('Friday 2 May 2031, 4:30 am JST')).toBeVisible();
});

test.describe('41 Times, seen from Tokyo', () => {
  test.use({ timezoneId: 'Asia/Tokyo' });

  test('41 Times: in another time zone, the local time is shown beside the venue\'s', { tag: ['@mobile', '@with-javascript'] }, async ({ someone }) => {
    const { buyer, event, order } = await aPaidOrder(someone);
    const { startsAt } = await (await buyer.page.request.get(`/api/events/${event.id}`)).json();
    const [hour, minute] = new Date(new Date(startsAt).getTime() + 9 * 3_600_000).toISOString().slice(11, 16).split(':');
    const own = `${Number(hour) % 12 || 12}:${minute} ${Number(hour) < 12 ? 'am' : 'pm'} your time`;
    for (const path of [`/events/${event.id}`, `/orders/${order.id}`]) {
      await buyer.page.goto(path);
      const time = buyer.page.getByRole('main').locator('time').first();
      await expect(time).toHaveText(/\d:\d\d [ap]m (?:GMT|BST) · /);
      await expect(time).toContainText(own);
    }
  });

  test('41 Times: an event at home shows one time', { tag: ['@desktop', '@with-javascript'] }, async ({ someone }) => {
    const { page } = await someone('Ann');
    const answer = await page.request.post('/api/events', {
      data: { title: 'At home', venue: 'Old Hall', city: 'Kyoto', country: 'JP', startsAt: '2031-05-01T19:30:00Z', timeZone: 'Asia/Tokyo', currency: 'JPY' },
    });
    await page.goto(`/events/${(await answer.json()).id}`);
    await expect(page.getByRole('main').locator('time')).toHaveText('Friday 2 May 2031, 4:30 am JST');
  });
});

test('42 Share and search engines: the event is in the head of the server\'s HTML, with its whole price', { tag: '@without-javascript' }, async ({ someone, visitor }) => {
  const [seller, { page }] = [await someone('Sally'), await visitor()];
  const event = await seller.createEvent('</script> & <b>Late</b>');
  await seller.listTicket(event, 2550, { section: 'Stalls' });
  await page.goto(`/events/${event.id}`);
  const path = new RegExp(`/events/${event.id}$`);
  await expect(page.locator('link[rel=canonical]')).toHaveAttribute('href', path);
  await expect(page.locator('meta[property="og:url"]')).toHaveAttribute('content', path);
  await expect(page.locator('meta[property="og:title"]')).toHaveAttribute('content', event.title);
  await expect(page.locator('meta[property="og:description"]')).toHaveAttribute('content', /£25\.50/);
  await expect(page.locator('meta[property="og:image"]')).toHaveAttribute('content', /^https?:/);
  const data = JSON.parse((await page.locator('script[type="application/ld+json"]').textContent()) ?? '');
  expect(data).toMatchObject({ '@type': 'Event', name: event.title, offers: { lowPrice: '25.50', priceCurrency: 'GBP', availability: 'https://schema.org/InStock' } });
});

test('43 Offline: a page that has lost the server says that it connects again, and does', { tag: ['@desktop', '@with-javascript'] }, async ({ someone, visitor, allow }) => {
  allow(/ERR_INTERNET_DISCONNECTED|ERR_NETWORK|stream/);
  const [seller, buyer, { page }] = [await someone('Sally'), await someone('Bea'), await visitor()];
  const event = await seller.createEvent();
  const ticket = await seller.listTicket(event, 2500, { section: 'Stalls' });
  const isStream = (response: Response) => response.url().includes(`/api/events/${event.id}/stream`);
  const listens = page.waitForResponse(isStream);
  await page.goto(`/events/${event.id}`);
  await listens;
  await page.context().setOffline(true);
  await expect(page.getByText('Reconnecting…')).toBeVisible();
  await buyer.reserve(ticket);
  // The page refreshes once its stream is connected. On a busy machine more time passes between two refreshes
  // than an expectation waits, so this waits for the refreshes, up to the test's time limit.
  const listensAgain = page.waitForResponse(isStream);
  await page.context().setOffline(false);
  await listensAgain;
  await expect(page.getByRole('button', { name: /^Reserve/ })).toBeHidden({ timeout: 0 });
  await expect(page.getByText('Reconnecting…')).toBeHidden({ timeout: 0 });
});
