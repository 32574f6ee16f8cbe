// Accessibility of all pages: axe, small screens, and keyboard only.
import { expectNoSidewaysScrolling, expectNothingWrong, tabTo } from '../support/accessible.ts';
import { expect, test } from '../support/fixtures.ts';
import { expectPaid, expectTheBankToAsk, payButton } from '../support/paying.ts';
import { EXPIRED, TOUR, TOUR_MILLIS } from '../support/tour.ts';

const WIDTHS = [360, 320];

for (const { name, open } of TOUR) {
  test(`axe finds no violation in ${name}, in light and dark`, { tag: '@with-javascript' }, async ({ someone, visitor, allow }) => {
    await expectNothingWrong(await open({ someone, visitor, allow }));
  });
}

test('axe finds no violation in 3-D Secure, in light and dark', { tag: '@with-javascript' }, async ({ someone }) => {
  const [seller, buyer] = [await someone('Sally'), await someone('Bea')];
  const order = await buyer.reserve(await seller.listTicket(await seller.createEvent()));
  await buyer.payAndWaitForTheBank(order);
  await buyer.page.goto(`/orders/${order.id}`);
  await buyer.page.getByRole('button', { name: 'Continue to your bank' }).click();
  await expectTheBankToAsk(buyer.page, true);
  await expectNothingWrong(buyer.page);
});

test('no page has to be scrolled sideways on a small phone', async ({ someone, visitor, allow }) => {
  test.setTimeout(TOUR_MILLIS);
  for (const { name, open } of TOUR) {
    await test.step(name, async () => {
      const page = await open({ someone, visitor, allow });
      for (const width of WIDTHS) await expectNoSidewaysScrolling(page, width, name);
      await page.close();
    });
  }
});

test.describe('where holds end soon', () => {
  test.use({ hold: 'short' });

  test(`axe finds no violation in ${EXPIRED.name}, in light and dark`, { tag: '@with-javascript' }, async ({ someone, visitor, allow }) => {
    await expectNothingWrong(await EXPIRED.open({ someone, visitor, allow }));
  });

  test(`${EXPIRED.name} does not have to be scrolled sideways on a small phone`, async ({ someone, visitor, allow }) => {
    const page = await EXPIRED.open({ someone, visitor, allow });
    for (const width of WIDTHS) await expectNoSidewaysScrolling(page, width, EXPIRED.name);
  });
});

test('the first Tab stop skips the menu', async ({ page }) => {
  await page.goto('/');
  await page.keyboard.press('Tab');
  const skip = page.getByRole('link', { name: 'Skip to the page' });
  await expect(skip).toBeFocused();
  await expect(skip).toBeInViewport({ ratio: 1 });
  await page.keyboard.press('Enter');
  await expect(page.getByRole('main')).toBeFocused();
  await page.keyboard.press('Tab');
  await expect(page.getByRole('searchbox', { name: 'Search events' })).toBeFocused();
});

test('a ticket can be found, reserved and paid for with the keyboard alone', { tag: '@with-javascript' }, async ({ someone }) => {
  const [seller, { page }] = [await someone('Sally'), await someone('Bea')];
  const event = await seller.createEvent();
  await seller.listTickets(event, 2, 2500, 'Stalls');

  await page.goto('/');
  await tabTo(page, page.getByRole('searchbox', { name: 'Search events' }));
  await page.keyboard.type(event.title);
  await page.keyboard.press('Enter');
  await expect(page.getByRole('heading', { name: `“${event.title}”` })).toBeVisible();

  await tabTo(page, page.getByRole('link', { name: event.title }));
  await page.keyboard.press('Enter');
  await expect(page.getByRole('heading', { name: event.title, level: 1 })).toBeVisible();

  await tabTo(page, page.getByRole('button', { name: 'Reserve Stalls at £25.00' }));
  await page.keyboard.press('Enter');
  await expect(payButton(page)).toBeEnabled();

  await tabTo(page, page.getByLabel('Card number'));
  await page.keyboard.type('4242424242424242');
  await expect(page.getByLabel('Card number')).toHaveValue('4242 4242 4242 4242');
  await tabTo(page, page.getByLabel('Expiry'));
  await page.keyboard.type('1240');
  await tabTo(page, page.getByLabel('Security code'));
  await page.keyboard.type('123');
  await tabTo(page, payButton(page));
  await page.keyboard.press('Enter');
  await expectPaid(page);

  await tabTo(page, page.getByRole('main').getByRole('link', { name: 'Tickets', exact: true }));
  await page.keyboard.press('Enter');
  await expect(page.getByRole('region', { name: 'Yours to use' }).getByRole('listitem')).toContainText([event.title]);
});

test('3-D Secure is confirmed with the keyboard alone', { tag: '@with-javascript' }, async ({ someone }) => {
  const [seller, buyer] = [await someone('Sally'), await someone('Bea')];
  const { page } = buyer;
  const order = await buyer.reserve(await seller.listTicket(await seller.createEvent()));
  await buyer.payAndWaitForTheBank(order);
  await page.goto(`/orders/${order.id}`);
  await tabTo(page, page.getByRole('button', { name: 'Continue to your bank' }));
  await page.keyboard.press('Enter');
  await expectTheBankToAsk(page, true);
  await page.keyboard.press('Escape');
  await expect(page.getByRole('dialog'), 'an answer is needed').toBeVisible();
  await expect(page.getByRole('button', { name: 'Yes, it is me' })).toBeFocused();
  await page.keyboard.press('Enter');
  await expectPaid(page);
});
