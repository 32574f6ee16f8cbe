// Failures are explained, and there is a way on.
import { expect, test } from '../../support/fixtures.ts';
import { CARDS, expectPaid, payButton } from '../../support/paying.ts';

test('20 Payment failure: said at the form, nothing has to be typed again, the tickets are still held', { tag: ['@mobile', '@with-javascript'] }, async ({ someone, payWith, allow }) => {
  allow(/status of 402/);
  const [seller, buyer] = [await someone('Sally'), await someone('Bea')];
  const order = await buyer.reserve(await seller.listTicket(await seller.createEvent(), 2500));
  const { page } = buyer;
  await page.goto(`/orders/${order.id}`);
  await payWith(page, CARDS.declined);
  const said = page.locator('form', { has: payButton(page) }).getByRole('alert');
  await expect(said).toContainText('Your card was declined. Nothing was charged, and your tickets are still held');
  await expect(said).toBeInViewport();
  await expect(page.getByRole('timer')).toBeVisible();
  await expect(page.getByLabel('Card number')).toHaveValue(CARDS.declined.number);
  await expect(page.getByLabel('Expiry')).toHaveValue('12 / 40');
  await expect(page.getByLabel('Security code')).toHaveValue('123');

  await page.getByLabel('Card number').fill(CARDS.good.number);
  await payButton(page).click();
  await expectPaid(page);
});

test('38 Loading states: while a payment takes its time the button says so, cannot fire twice, and nothing jumps', { tag: ['@mobile', '@with-javascript'] }, async ({ someone }) => {
  const [seller, buyer] = [await someone('Sally'), await someone('Bea')];
  const order = await buyer.reserve(await seller.listTicket(await seller.createEvent(), 2500));
  const { page } = buyer;
  const delayed = (pattern: string) =>
    page.route(pattern, async (route) => {
      await new Promise((wake) => setTimeout(wake, 1000));
      await route.continue();
    });
  await delayed('**/stripe-double/stripe.js');
  await delayed('**/fn/payments/pay');
  let payments = 0;
  page.on('request', (request) => void (payments += Number(request.url().endsWith('/fn/payments/pay'))));
  await page.addInitScript(() => {
    const shifts = { sum: 0, where: [] as string[] };
    Object.assign(window, { shifts });
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries() as (PerformanceEntry & { value: number; sources: { node?: Node }[] })[]) {
        shifts.sum += entry.value;
        for (const { node } of entry.sources) if (node instanceof Element) shifts.where.push(`${entry.value.toFixed(3)} ${node.outerHTML.slice(0, 60)}`);
      }
    }).observe({ type: 'layout-shift', buffered: true });
  });

  await page.goto(`/orders/${order.id}`);
  await expect(page.getByText('Loading the card form…')).toBeVisible();
  await expect(payButton(page), 'nothing to send yet').toBeDisabled();
  await expect(payButton(page)).toBeEnabled();
  const shifts = await page.evaluate(() => (window as unknown as { shifts: { sum: number; where: string[] } }).shifts);
  expect(shifts.sum, `the form comes without a jump: ${shifts.where.join('; ')}`).toBeLessThanOrEqual(0.1);

  for (const [label, text] of [['Card number', CARDS.good.number], ['Expiry', '1240'], ['Security code', '123']] as const) await page.getByLabel(label).fill(text);
  await payButton(page).click();
  const busy = page.getByRole('button', { name: 'Paying…' });
  await expect(busy).toBeDisabled();
  await busy.click({ force: true });
  await page.getByLabel('Security code').press('Enter');
  await expectPaid(page);
  expect(payments).toBe(1);
});

test('43 Not found and offline: a page with its code and a way back; no answer is said, and tried again', { tag: ['@mobile', '@with-javascript'] }, async ({ page, allow }) => {
  allow(/status of 404|ERR_INTERNET_DISCONNECTED/);
  expect((await page.goto('/nothing-here'))?.status()).toBe(404);
  await expect(page.getByRole('main')).toContainText('404');
  await page.getByRole('link', { name: 'See what is on' }).click();
  await expect(page.getByRole('heading', { name: 'What is on' })).toBeVisible();

  const field = page.getByRole('searchbox', { name: 'Search events' });
  await page.waitForSelector('html[data-hydrated]', { state: 'attached' });
  await page.context().setOffline(true);
  const notAnswered = page.waitForEvent('requestfailed', (request) => request.url().includes('q=lamplighter'));
  await field.fill('lamplighter');
  await notAnswered;
  await expect(page.getByText('The search did not answer. Press Enter to try again.')).toBeAttached();
  await page.context().setOffline(false);
  await field.press('Enter');
  await page.waitForURL(/q=lamplighter/);
  await expect(page.getByRole('link', { name: 'The Lamplighter' })).toBeVisible();
});
