// Paying: declined cards, 3-D Secure, cancelling, second tabs.
import { expect, test } from '../support/fixtures.ts';
import { CARDS, alert, expectPaid, expectTheBankToAsk } from '../support/paying.ts';
import type { Order, Person } from '../support/people.ts';

type Someone = (name: string) => Promise<Person>;

/** A seller with one ticket, and a buyer who has it reserved and sees the order. */
async function anOpenOrder(someone: Someone): Promise<{ seller: Person; buyer: Person; order: Order }> {
  const [seller, buyer] = [await someone('Sally'), await someone('Bea')];
  const ticket = await seller.listTicket(await seller.createEvent(), 2500, { section: 'Stalls' });
  const order = await buyer.reserve(ticket);
  await buyer.page.goto(`/orders/${order.id}`);
  return { seller, buyer, order };
}

const eventOf = (order: Order): string => `/events/${order.tickets[0]!.eventId}`;

test('a declined card says so, keeps the tickets held, and another card pays', { tag: '@every-browser' }, async ({ someone, payWith, allow }) => {
  allow(/status of 402/);
  const { buyer: { page } } = await anOpenOrder(someone);
  await payWith(page, CARDS.declined);
  await expect(alert(page)).toContainText('Your card was declined. Nothing was charged, and your tickets are still held');
  await expect(page.getByRole('timer')).toBeVisible();
  await payWith(page, CARDS.good);
  await expectPaid(page);
});

test('an order whose card was declined still says so when it is reopened', async ({ someone, payWith, allow }) => {
  allow(/status of 402/);
  const { buyer, order } = await anOpenOrder(someone);
  await payWith(buyer.page, CARDS.declined);
  await expect(alert(buyer.page)).toBeVisible();
  await buyer.page.goto(`/orders/${order.id}`);
  await expect(alert(buyer.page)).toContainText('The last card was not charged');
  await payWith(buyer.page, CARDS.good);
  await expectPaid(buyer.page);
});

test('a card form that is not filled in says what is missing', { tag: '@with-javascript' }, async ({ someone }) => {
  const { buyer: { page } } = await anOpenOrder(someone);
  await page.getByLabel('Card number').fill('4242 4242 4242 4242');
  await page.getByRole('button', { name: 'Pay £25.00' }).click();
  await expect(alert(page)).toContainText('expiry and security code');
  await expect(page.getByLabel('Card number')).toHaveValue('4242 4242 4242 4242');
  await page.getByLabel('Card number').fill('4242 4242 4242 4241');
  await page.getByLabel('Expiry').fill('1240');
  await page.getByLabel('Security code').fill('123');
  await expect(page.getByLabel('Expiry')).toHaveValue('12 / 40');
});

test('a card number with a typing error is refused before anything is paid', { tag: '@with-javascript' }, async ({ someone, payWith, allow }) => {
  allow(/status of 402/);
  const { buyer: { page } } = await anOpenOrder(someone);
  await payWith(page, { number: '4242 4242 4242 4241', choice: '' });
  await expect(alert(page)).toHaveText('Your card number is incorrect.');
  await payWith(page, CARDS.good);
  await expectPaid(page);
});

test('3-D Secure is confirmed, and the order is paid', { tag: '@every-browser' }, async ({ someone, payWith, javaScriptEnabled }) => {
  const { buyer: { page } } = await anOpenOrder(someone);
  await payWith(page, CARDS.bankAsks);
  await expectTheBankToAsk(page, javaScriptEnabled);
  await page.getByRole('button', { name: 'Yes, it is me' }).click();
  await expectPaid(page);
});

test('a failed 3-D Secure charges nothing, and another card pays', async ({ someone, payWith, javaScriptEnabled }) => {
  const { buyer: { page } } = await anOpenOrder(someone);
  await payWith(page, CARDS.bankAsks);
  await expectTheBankToAsk(page, javaScriptEnabled);
  await page.getByRole('button', { name: 'No, refuse' }).click();
  await expect(alert(page)).toContainText('your bank did not confirm it');
  await expect(page, 'no secret stays in the address').toHaveURL(/\/orders\/[0-9a-f-]{36}$/);
  await expect(page.getByRole('timer')).toBeVisible();
  await payWith(page, CARDS.good);
  await expectPaid(page);
});

test('a buyer who left during 3-D Secure finds the way back to it', async ({ someone, javaScriptEnabled }) => {
  const { buyer: { page }, buyer, order } = await anOpenOrder(someone);
  await buyer.payAndWaitForTheBank(order);
  await page.goto(`/orders/${order.id}`);
  await expect(page.getByRole('heading', { name: 'Your bank asks you to confirm' })).toBeVisible();
  await page.getByRole('button', { name: 'Continue to your bank' }).click();
  await expectTheBankToAsk(page, javaScriptEnabled);
  await page.getByRole('button', { name: 'Yes, it is me' }).click();
  await expectPaid(page);
});

test('cancelling frees the tickets, and another buyer can reserve them', async ({ someone }) => {
  const { buyer: { page }, order } = await anOpenOrder(someone);
  const rival = await someone('Rivka');
  await rival.page.goto(eventOf(order));
  await expect(rival.page.getByText('0 available · 1 being bought right now')).toBeVisible();
  await expect(rival.page.getByRole('button', { name: /^Reserve/ })).toBeHidden();

  await page.getByRole('button', { name: 'Cancel and give the tickets back' }).click();
  await expect(page.getByRole('heading', { name: 'This order was cancelled' })).toBeVisible();
  await expect(page.getByText('The order is cancelled, and its tickets are for sale again.')).toBeVisible();
  await expect(page.getByRole('timer')).toBeHidden();

  await rival.page.goto(eventOf(order));
  await rival.page.getByRole('button', { name: 'Reserve Stalls at £25.00' }).click();
  await expect(rival.page.getByRole('timer')).toBeVisible();
});

test('an order that was paid in another tab is shown as paid, and charged once', async ({ someone, payWith, allow }) => {
  allow(/status of 409/);
  const { buyer, order } = await anOpenOrder(someone);
  const second = await buyer.anotherTab();
  await second.goto(`/orders/${order.id}`);
  await payWith(buyer.page, CARDS.good);
  await expectPaid(buyer.page);

  await payWith(second, CARDS.good);
  await expectPaid(second);
  await expect(alert(second), 'nothing went wrong').toBeHidden();
  await second.goto('/tickets');
  await expect(second.getByRole('region', { name: 'Yours to use' }).getByRole('listitem')).toHaveCount(1);
});

test('an order that was cancelled in another tab is shown as cancelled, and not charged', async ({ someone, payWith, allow }) => {
  allow(/status of 409/);
  const { buyer, order } = await anOpenOrder(someone);
  const second = await buyer.anotherTab();
  await second.goto(`/orders/${order.id}`);
  await buyer.page.getByRole('button', { name: 'Cancel and give the tickets back' }).click();
  await expect(buyer.page.getByRole('heading', { name: 'This order was cancelled' })).toBeVisible();

  await payWith(second, CARDS.good);
  await expect(second.getByRole('heading', { name: 'This order was cancelled' })).toBeVisible();
  await expect(second.getByText('You were not charged.')).toBeVisible();
  await second.goto('/tickets');
  await expect(second.getByText('You have no tickets yet.')).toBeVisible();
});

test('a paid order cannot be cancelled from a tab that was left open', async ({ someone }) => {
  const { buyer, order } = await anOpenOrder(someone);
  await buyer.pay(order);
  await buyer.page.getByRole('button', { name: 'Cancel and give the tickets back' }).click();
  await expectPaid(buyer.page);
});

test('the card form says so when its script cannot be loaded', { tag: '@with-javascript' }, async ({ someone, allow }) => {
  allow(/stripe-double\/stripe\.js/);
  const { buyer: { page }, order } = await anOpenOrder(someone);
  await page.route('**/stripe.js', (route) => route.abort());
  await page.goto(`/orders/${order.id}`);
  await expect(alert(page)).toContainText('The card form could not be loaded.');
  await expect(page.getByRole('button', { name: 'Pay £25.00' })).toBeHidden();
});

test('when the answer to a payment is lost, the page finds out that it was paid', { tag: '@with-javascript' }, async ({ someone, payWith, allow }) => {
  allow(/net::ERR_CONNECTION_RESET/);
  const { buyer: { page } } = await anOpenOrder(someone);
  await page.route('**/fn/payments/pay', async (route) => {
    await route.fetch();
    await route.abort('connectionreset');
  });
  await payWith(page, CARDS.good);
  await expectPaid(page);
});

test('when a payment never arrives, the page says that nothing was charged, and another try pays', { tag: '@with-javascript' }, async ({ someone, payWith, allow }) => {
  allow(/net::ERR_(INTERNET_DISCONNECTED|CONNECTION_RESET)/);
  const { buyer: { page } } = await anOpenOrder(someone);
  let checks = 0;
  await page.route('**/fn/payments/pay', (route) => route.abort('connectionreset'), { times: 1 });
  await page.route('**/fn/payments/newest', async (route) => {
    checks += 1;
    await (checks === 1 ? route.abort('internetdisconnected') : route.continue());
  });
  await payWith(page, CARDS.good);
  await expect(alert(page)).toContainText('your card was not charged');
  expect(checks).toBe(2);
  await payWith(page, CARDS.good);
  await expectPaid(page);
});

test('tickets that are held are shown on their event and on other pages, with the way to pay', async ({ someone }) => {
  const { buyer: { page }, order } = await anOpenOrder(someone);
  const strip = page.getByRole('complementary', { name: 'Tickets held for you' });
  await expect(strip).toBeHidden();
  await page.goto('/');
  await expect(strip).toContainText(/1 ticket for .* held for you: 1[45]:\d\d left/);
  await page.goto(eventOf(order));
  await expect(strip).toBeHidden();
  await expect(page.getByText('1 ticket held for you')).toBeVisible();
  await page.getByRole('link', { name: 'Continue to payment' }).click();
  await expect(page).toHaveURL(new RegExp(`/orders/${order.id}$`));
  await page.getByRole('button', { name: 'Cancel and give the tickets back' }).click();
  await page.goto('/');
  await expect(strip).toBeHidden();
});

test('the bar of the countdown moves with its clock', { tag: '@with-javascript' }, async ({ someone }) => {
  const { buyer: { page } } = await anOpenOrder(someone);
  const bar = page.locator('.countdown-bar');
  const before = await bar.evaluate((element: HTMLProgressElement) => element.value);
  await expect.poll(() => bar.evaluate((element: HTMLProgressElement) => element.value)).toBeLessThan(before);
});

test('the countdown continues when a translator has wrapped the words around it', { tag: '@with-javascript' }, async ({ someone }) => {
  const { buyer: { page } } = await anOpenOrder(someone);
  // As browsers translate a page: text is wrapped in elements, except where translation is off.
  await page.evaluate(() => {
    const words = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const found: Text[] = [];
    while (words.nextNode()) found.push(words.currentNode as Text);
    for (const text of found) {
      if (text.parentElement?.closest('[translate=no], script, style') || !text.data.trim()) continue;
      const wrapper = document.createElement('font');
      wrapper.textContent = text.data;
      text.replaceWith(wrapper);
    }
  });
  const clock = page.getByRole('timer');
  const before = await clock.textContent();
  await expect(clock).not.toHaveText(before ?? '');
});
