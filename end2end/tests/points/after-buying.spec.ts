// Once it is paid: what the page and the mail say.
import { expect, test } from '../../support/fixtures.ts';
import { mailTo } from '../../support/mail.ts';

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
  for (const words of [event.title, begins, 'Old Hall, Leeds', 'Total£25.50', 'Stalls', 'Bea', 'You paid £25.50']) await expect(main).toContainText(words);
  await expect(page.getByRole('contentinfo').getByRole('link', { name: 'Help' })).toBeVisible();

  const mail = await mailTo(buyer.email, 'Your ticket for');
  for (const words of [event.title, 'Old Hall', 'Stalls', 'Paid in all', '25.50', `/orders/${order.id}`]) expect(mail).toContain(words);
  expect(mail).toMatch(begins);
});
