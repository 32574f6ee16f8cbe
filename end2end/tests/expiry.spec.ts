// The end of a hold, on a server that holds tickets for six seconds.
import { expect, test } from '../support/fixtures.ts';
import { CARDS, secondsLeft } from '../support/paying.ts';
import { SHORT_HOLD_SECONDS } from '../support/global-setup.ts';
import type { Page } from '@playwright/test';

test.use({ shortHold: true });

const ranOut = (page: Page) => page.getByRole('heading', { name: 'The time to pay ran out' });
/** Longer than a hold and its grace. */
const UNTIL_THE_END = { timeout: 20_000, intervals: [250] };

/** Loads the page again and again, as somebody without JavaScript does, until `seen`. */
async function reloadUntil(page: Page, seen: () => Promise<boolean>): Promise<void> {
  await expect.poll(async () => (await page.reload(), seen()), UNTIL_THE_END).toBe(true);
}

test('the countdown runs down, and the page says by itself that the time ran out', { tag: '@with-javascript' }, async ({ someone }) => {
  const [seller, { page, ...buyer }] = [await someone('Sally'), await someone('Bea')];
  void buyer;
  const event = await seller.createEvent();
  await seller.listTicket(event, 2500, { section: 'Stalls' });
  await page.goto(`/events/${event.id}`);
  await page.getByRole('button', { name: 'Reserve Stalls at £25.00' }).click();
  await expect(page.getByRole('timer')).toHaveText(/^0:0[3-6]$/);
  await expect(page.getByText('Less than a minute is left to pay.')).toBeAttached();
  await expect(page.getByRole('timer')).toHaveText(/^0:0[12]$/);
  await expect(ranOut(page)).toBeVisible(UNTIL_THE_END);
  await expect(page.getByText('You were not charged.')).toBeVisible();
  await expect(page.getByRole('timer')).toBeHidden();
});
