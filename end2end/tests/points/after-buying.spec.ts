// After paying: the content of page and mail.
import { expect, test } from '../../support/fixtures.ts';
import { mailTo, ticketsLink } from '../../support/mail.ts';

test('21 Confirmation: what, when by whose clocks, where, how much, and where help is, on the page and in the mail', { tag: ['@mobile', '@without-javascript'] }, async ({ someone }) => {
  const [seller, buyer] = [await someone('Sally'), await someone('Bea')];
  const event = await seller.createEvent();
  const order = await buyer.reserve(await seller.listTicket(event, 2550, { section: 'Stalls' }));
  await buyer.pay(order);
  const { page } = buyer;
  await page.goto(`/orders/${order.id}`);
  await expect(page.getByRole('status')).toContainText('Paid. The tickets are yours.');
  const main = page.getByRole('main');
  const begins = /\w+day \d{1,2} \w+ \d{4}, \d{1,2}:\d\d [ap]m (?:GMT|BST)/;
  for (const words of [event.title, begins, 'Old Hall, Leeds', 'Total£25.50', 'Stalls', 'from Sally', 'Sold bySally', 'Bea', 'You paid £25.50']) await expect(main).toContainText(words);
  await expect(page.getByRole('contentinfo').getByRole('link', { name: 'Help' })).toBeVisible();
  await expect(main.getByRole('link', { name: 'How to get help' })).toHaveAttribute('href', '/help');

  const mail = await mailTo(buyer.email, 'Your ticket for');
  for (const words of [event.title, 'Old Hall', 'Stalls', 'Paid in all', '25.50', 'Sold by', 'Sally', 'Answer this mail', `/orders/${order.id}`]) expect(mail).toContain(words);
  expect(mail).toMatch(begins);
});

test('23 Order without account: the link in the mail opens the tickets in a fresh browser, as often as one likes', { tag: ['@mobile', '@without-javascript'] }, async ({ someone, visitor, allow }) => {
  const [seller, buyer, { page }] = [await someone('Sally'), await someone('Bea'), await visitor()];
  const event = await seller.createEvent();
  const order = await buyer.reserve(await seller.listTicket(event, 2550, { section: 'Stalls' }));
  await buyer.pay(order);
  const link = ticketsLink(await mailTo(buyer.email, 'Your ticket for'));
  for (const look of ['first', 'second']) {
    const answer = await page.goto(link);
    expect(answer!.status(), `${look} look`).toBe(200);
    expect(answer!.headers()).toMatchObject({ 'referrer-policy': 'no-referrer', 'cache-control': 'no-store', 'x-robots-tag': 'noindex, nofollow' });
    await expect(page.getByRole('heading', { name: 'Your tickets', level: 1 })).toBeVisible();
    await expect(page.getByRole('img', { name: /^QR code of the ticket/ })).toBeVisible();
    for (const words of [event.title, 'Stalls', 'Bea']) await expect(page.getByRole('main')).toContainText(words);
  }
  for (const [name, type] of [['Download PDF', 'application/pdf'], ['Add to calendar', 'text/calendar']] as const) {
    const file = await page.request.get((await page.getByRole('link', { name }).getAttribute('href'))!);
    expect([file.status(), file.headers()['content-type']]).toEqual([200, expect.stringContaining(type)]);
  }
  await expect(page.getByRole('main').getByRole('button'), 'there is nothing to be done').toHaveCount(0);
  expect(await page.context().cookies(), 'and nobody is signed in').toEqual([]);

  allow(/status of 404/);
  const forged = link.replace(/.$/, (last) => (last === 'A' ? 'B' : 'A')).replace('SDL1.', 'SDL1.A');
  expect((await page.goto(forged))!.status()).toBe(404);
  await expect(page.getByRole('heading', { name: 'This link shows no tickets' })).toBeVisible();
  await seller.refund(order.tickets[0]!);
  await page.goto(link);
  await expect(page.getByRole('status')).toContainText('This order was refunded.');
  await expect(page.getByRole('img', { name: /^QR code/ })).toHaveCount(0);
});
