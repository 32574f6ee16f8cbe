// What a small phone (360 by 740 pixels) shows without scrolling.
import type { Locator, Page } from '@playwright/test';
import { expectNothingWrong } from '../support/accessible.ts';
import { expect, test } from '../support/fixtures.ts';
import { goByMenu, summary } from '../support/menu.ts';
import { payButton } from '../support/paying.ts';

const HEIGHT = 740;

/** Expects the whole element to be visible without scrolling. */
async function expectOnFirstScreen(part: Locator, what: string): Promise<void> {
  await expect(part, what).toBeVisible();
  const box = (await part.boundingBox())!;
  expect(await part.page().evaluate(() => window.scrollY), 'nobody has scrolled').toBe(0);
  expect(box.y, `${what}: its top`).toBeGreaterThanOrEqual(0);
  expect(box.y + box.height, `${what}: its bottom`).toBeLessThanOrEqual(HEIGHT);
}

const step = (page: Page) => page.getByRole('list', { name: 'Steps' }).locator('[aria-current="step"]');

test.describe('on a small phone', { tag: '@mobile' }, () => {
  test('the header is one row, and its links are a tap away', async ({ page, someone }) => {
    const ann = await someone('Ann');
    for (const each of [page, ann.page]) {
      for (const path of ['/', '/help']) {
        await each.goto(path);
        const header = (await each.getByRole('banner').boundingBox())!;
        expect(header.height, `${path} in pixels`).toBeLessThanOrEqual(64);
        await expect(each.getByRole('navigation', { name: 'Main' })).toBeHidden();
      }
    }
    await goByMenu(ann.page, 'Orders');
    await expect(ann.page).toHaveURL('/orders');
    await ann.page.getByRole('button', { name: 'Menu', exact: true }).click();
    await expect(ann.page.getByRole('navigation', { name: 'Main' }).getByRole('button', { name: 'Sign out' })).toBeVisible();
    await ann.page.getByRole('button', { name: 'Close' }).click();
    await expect(ann.page.getByRole('navigation', { name: 'Main' })).toBeHidden();
  });

  test('the home page shows its first event without scrolling', async ({ page }) => {
    await page.goto('/');
    await expectOnFirstScreen(page.locator('.card').first(), 'the first card');
  });

  test('the page that asks for details says so, and for which event and day', async ({ someone, visitor }) => {
    const [seller, { page }] = [await someone('Sally'), await visitor()];
    const event = await seller.createEvent();
    await seller.listTickets(event, 3, 2500, 'Stalls');
    await page.goto(`/events/${event.id}`);
    await page.getByRole('button', { name: 'Reserve Stalls at £25.00' }).click();
    await expect(step(page)).toHaveText(/Your details$/);
    await expectOnFirstScreen(page.getByRole('link', { name: event.title }), 'the event');
    await expectOnFirstScreen(page.getByText(/^\w{3} \d{1,2} \w{3} \d{4}, \d{1,2}:\d\d [ap]m · Old Hall, Leeds$/), 'its day');
    await expectOnFirstScreen(page.getByRole('button', { name: 'Go on to pay' }), 'the button');
  });

  test('the card form and the address for the tickets are on the first screen', { tag: '@with-javascript' }, async ({ someone }) => {
    const [seller, buyer] = [await someone('Sally'), await someone('Bea')];
    const { page } = buyer;
    const event = await seller.createEvent();
    const order = await buyer.reserve(await seller.listTicket(event, 2500, { section: 'Stalls' }), await seller.listTicket(event, 2500));
    await page.goto(`/orders/${order.id}`);
    await expect(payButton(page)).toBeEnabled();
    await expect(step(page)).toHaveText(/Pay$/);
    for (const label of ['Card number', 'Expiry', 'Security code']) await expectOnFirstScreen(page.getByLabel(label), label);
    await expectOnFirstScreen(page.getByRole('timer'), 'the time that is left');
    await expectOnFirstScreen(page.getByText(buyer.email), 'where the tickets go');
    const line = page.getByRole('complementary', { name: 'What you are buying' }).locator('summary');
    await expectOnFirstScreen(line, 'what is bought');
    for (const words of [event.title, '2 tickets', '£50.00']) await expect(line).toContainText(words);
    const bought = await summary(page);
    await expect(bought.getByRole('listitem')).toHaveCount(2);
    await expect(bought.getByText('Old Hall, Leeds')).toBeVisible();
    await expectNothingWrong(page);
  });

  test('a paid order shows its first code at once', async ({ someone }) => {
    const [seller, buyer] = [await someone('Sally'), await someone('Bea')];
    const event = await seller.createEvent();
    const order = await buyer.reserve(await seller.listTicket(event), await seller.listTicket(event));
    await buyer.pay(order);
    await buyer.page.goto(`/orders/${order.id}`);
    await expectOnFirstScreen(buyer.page.getByRole('img', { name: /^QR code of the ticket/ }).first(), 'the code');
  });

  test('the code of the next ticket is open under Tickets', async ({ someone }) => {
    const [seller, buyer] = [await someone('Sally'), await someone('Bea')];
    const event = await seller.createEvent();
    const order = await buyer.reserve(await seller.listTicket(event), await seller.listTicket(event));
    await buyer.pay(order);
    await buyer.page.goto('/tickets');
    const codes = buyer.page.getByRole('img', { name: /^QR code of the ticket/ });
    await expect(codes).toHaveCount(1);
    await expectOnFirstScreen(codes.first(), 'the code');
    await buyer.page.getByText('QR code', { exact: true }).last().click();
    await expect(codes).toHaveCount(2);
  });
});
