// The time to pay: accurate, announced calmly, extensible, and with a way on when it is over.
import { expect, test } from '../../support/fixtures.ts';
import { payButton, secondsLeft } from '../../support/paying.ts';
import type { Order, Person } from '../../support/people.ts';

async function anOpenOrder(someone: (name: string) => Promise<Person>): Promise<{ buyer: Person; order: Order }> {
  const [seller, buyer] = [await someone('Sally'), await someone('Bea')];
  const order = await buyer.reserve(await seller.listTicket(await seller.createEvent(), 2500, { section: 'Stalls' }));
  return { buyer, order };
}

test('11 Countdown is true: after a reload, and in a second tab, it is the server\'s', { tag: ['@desktop', '@with-javascript'] }, async ({ someone }) => {
  const { buyer, order } = await anOpenOrder(someone);
  const byTheServer = async () => ((await buyer.look(order)) as Order & { secondsLeft: number }).secondsLeft;
  const second = await buyer.anotherTab();
  for (const page of [buyer.page, second]) {
    await page.goto(`/orders/${order.id}`);
    expect(Math.abs((await secondsLeft(page)) - (await byTheServer()))).toBeLessThanOrEqual(2);
  }
  await buyer.page.goto(buyer.page.url());
  expect(Math.abs((await secondsLeft(buyer.page)) - (await byTheServer())), 'after loading it again').toBeLessThanOrEqual(2);
  expect(new Date(order.expiresAt).getTime() - Date.now(), 'and no other end than the API\'s').toBeLessThanOrEqual(15 * 60_000);
});

test('12 Countdown semantics: the clock is not announced, and a polite live region speaks three times in a hold', { tag: ['@desktop', '@with-javascript'] }, async ({ someone }) => {
  const { buyer: { page }, order } = await anOpenOrder(someone);
  await page.clock.install();
  await page.goto(`/orders/${order.id}`);
  const clock = page.getByRole('timer');
  await expect(clock).not.toHaveAttribute('aria-live', /polite|assertive/);
  await expect(page.locator('[aria-live=polite]').filter({ has: clock })).toHaveCount(0);
  await page.evaluate(() => {
    const said: string[] = [];
    Object.assign(window, { said });
    new MutationObserver((changes) => {
      for (const { target } of changes) {
        const region = (target instanceof Element ? target : target.parentElement)?.closest('[aria-live], [role=alert], [role=status]');
        const text = region?.textContent?.trim();
        if (text && said.at(-1) !== text) said.push(text);
      }
    }).observe(document.body, { subtree: true, childList: true, characterData: true });
  });
  await page.clock.runFor('14:50');
  await expect(clock).toHaveText(/^0:\d\d$/);
  expect(await page.evaluate(() => (window as unknown as { said: string[] }).said)).toEqual([
    'Five minutes are left to pay.',
    'Two minutes are left to pay.',
    'Less than a minute is left to pay.',
  ]);
});

test('13 Warning and more time: it is offered in good time, states its limit, and is reachable by keyboard', { tag: ['@mobile', '@with-javascript'] }, async ({ someone }) => {
  const { buyer: { page }, order } = await anOpenOrder(someone);
  await page.clock.install();
  await page.goto(`/orders/${order.id}`);
  await expect(payButton(page)).toBeEnabled();
  const offer = page.getByRole('dialog', { name: 'Do you need longer?' });
  await page.clock.runFor('12:30');
  await expect(offer).toBeHidden();
  await page.clock.runFor('00:45');
  await expect(offer).toBeVisible();
  expect(await secondsLeft(page), 'more than twenty seconds before the end').toBeGreaterThan(20);
  await expect(offer).toContainText('You can have 5 minutes more, once.');
  const more = offer.getByRole('button', { name: 'More time' });
  for (let presses = 0; presses < 60; presses += 1) {
    await page.keyboard.press('Tab');
    if (await more.evaluate((button) => button === document.activeElement)) break;
  }
  await expect(more).toBeFocused();
});

test.describe('where holds end soon', () => {
  test.use({ hold: 'short' });

  test('15 Expiry is kind: it is announced, nothing was charged, tickets are back, and one click tries again', { tag: ['@desktop', '@with-javascript'] }, async ({ someone }) => {
    const { buyer: { page }, order } = await anOpenOrder(someone);
    await page.goto(`/orders/${order.id}`);
    await expect(page.getByRole('status').filter({ hasText: 'The time to pay ran out' })).toBeVisible({ timeout: 12_000 });
    await expect(page.getByText('You were not charged.')).toBeVisible();
    const event = `/api/events/${order.tickets[0]!.eventId}`;
    await expect.poll(async () => (await (await page.request.get(event)).json()).ticketsAvailable, { timeout: 5_000 }).toBe(1);
    await page.getByRole('button', { name: 'Reserve 1 ticket again' }).click();
    await expect(page.getByRole('timer')).toBeVisible();
    await expect(page).not.toHaveURL(new RegExp(order.id));
  });
});
