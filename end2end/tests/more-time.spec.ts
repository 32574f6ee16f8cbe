// Asking for more time, on a server that holds tickets for 24 seconds and gives 8 more, once.
import { expect, test } from '../support/fixtures.ts';
import { MIDDLING_HOLD_SECONDS } from '../support/global-setup.ts';
import { CARDS, expectPaid, secondsLeft } from '../support/paying.ts';

test.use({ hold: 'middling' });

const NEARLY_OVER = { timeout: MIDDLING_HOLD_SECONDS * 1000 };

test('near the end more time is offered, once, and the page stays as it is', { tag: ['@with-javascript', '@every-browser'] }, async ({ someone, payWith }) => {
  const [seller, buyer] = [await someone('Sally'), await someone('Bea')];
  const order = await buyer.reserve(await seller.listTicket(await seller.createEvent(), 2500));
  const { page } = buyer;
  await page.goto(`/orders/${order.id}`);
  const offer = page.getByRole('dialog', { name: 'Do you need longer?' });
  await expect(offer).toBeHidden();
  await expect(offer).toBeVisible(NEARLY_OVER);
  await expect(offer).toContainText('You can have 8 seconds more, once.');
  // With the keyboard only.
  await offer.getByRole('button', { name: 'More time' }).focus();
  await page.keyboard.press('Enter');
  await expect(page.getByText('You have 8 seconds more.')).toBeAttached();
  await expect(offer).toBeHidden();
  await expect.poll(() => secondsLeft(page), 'more than any offer is made at').toBeGreaterThan(8);

  const second = await buyer.anotherTab();
  await second.goto(page.url());
  expect(Math.abs((await secondsLeft(second)) - (await secondsLeft(page))), 'two tabs agree').toBeLessThanOrEqual(2);
  await expect(second.getByRole('dialog')).toBeHidden();
  await payWith(page, CARDS.good);
  await expectPaid(page);
  await expect(page.getByText('You took more time to pay.')).toBeVisible();
});

test('without JavaScript more time is a button on the page', { tag: '@without-javascript' }, async ({ someone }) => {
  const [seller, buyer] = [await someone('Sally'), await someone('Bea')];
  const order = await buyer.reserve(await seller.listTicket(await seller.createEvent(), 2500));
  const { page } = buyer;
  const more = page.getByRole('button', { name: 'Take 8 seconds more, once' });
  await page.goto(`/orders/${order.id}`);
  await expect(more).toBeHidden();
  await expect.poll(async () => (await page.reload(), more.isVisible()), NEARLY_OVER).toBe(true);
  await more.click();
  await expect(page.getByText('You have more time. There is no more after this.')).toBeVisible();
  await expect(more).toBeHidden();
});
