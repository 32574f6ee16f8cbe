// Accessibility of all pages: axe, small screens, and keyboard only.
import { expectEverybodyCanUse, expectNoSidewaysScrolling, expectNothingWrong, tabTo } from '../support/accessible.ts';
import { expect, test } from '../support/fixtures.ts';
import { expectPaid, expectTheBankToAsk, payButton } from '../support/paying.ts';
import { EXPIRED, TOUR, TOUR_MILLIS } from '../support/tour.ts';

// Phone and desktop, both themes: axe, sizes of controls, large letters, scrolling. These are checks 31, 33 and
// 34 of `points/` for every page. On the phone, because its project has a touch screen.
for (const { name, open } of TOUR) {
  test(`all can use ${name}`, { tag: ['@with-javascript', '@mobile'] }, async ({ someone, visitor, allow }) => {
    await expectEverybodyCanUse(await open({ someone, visitor, allow }), name);
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

test('without JavaScript no page has to be scrolled sideways on a small phone', { tag: '@without-javascript' }, async ({ someone, visitor, allow }) => {
  test.setTimeout(TOUR_MILLIS);
  for (const { name, open } of TOUR) {
    await test.step(name, async () => {
      const page = await open({ someone, visitor, allow });
      for (const width of [360, 320]) await expectNoSidewaysScrolling(page, width, name);
      await page.close();
    });
  }
});

test.describe('where holds end soon', () => {
  test.use({ hold: 'short' });

  test(`all can use ${EXPIRED.name}`, { tag: ['@with-javascript', '@mobile'] }, async ({ someone, visitor, allow }) => {
    await expectEverybodyCanUse(await EXPIRED.open({ someone, visitor, allow }), EXPIRED.name);
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
