// A seller refunds a buyer, and both see its state.
import { expectNothingWrong } from '../support/accessible.ts';
import { expect, test } from '../support/fixtures.ts';
import { CARDS, alert, expectPaid } from '../support/paying.ts';
import type { Event, Order, Person } from '../support/people.ts';

type Someone = (name: string) => Promise<Person>;
interface Sale {
  seller: Person;
  buyer: Person;
  event: Event;
  order: Order;
}

/** A seller who has sold tickets in the Stalls, one order of one buyer, at £35.00, £36.00 and so on. */
async function sold(someone: Someone, seats: number): Promise<Sale> {
  const [seller, buyer] = [await someone('Sally'), await someone('Bea')];
  const event = await seller.createEvent();
  const tickets = [];
  for (let seat = 1; seat <= seats; seat += 1) {
    tickets.push(await seller.listTicket(event, 3400 + 100 * seat, { section: 'Stalls', row: 'A', seat: `${seat}` }));
  }
  const order = await buyer.reserve(...tickets);
  await buyer.pay(order);
  return { seller, buyer, event, order };
}

const listings = ({ page }: Person) => page.getByRole('region', { name: 'Yours for sale' }).getByRole('listitem');
const refundPage = (order: Order): string => `/tickets/${order.tickets[0]!.id}/refund`;
const whatHappened = ({ page }: Person) => page.getByRole('region', { name: 'What happened' }).getByRole('listitem');

test('a seller refunds the buyer, who sees it on the order and under Tickets', async ({ someone, payWith }) => {
  const [seller, buyer] = [await someone('Sally'), await someone('Bea Buyer')];
  const event = await seller.createEvent();
  const order = await buyer.reserve(await seller.listTicket(event, 3500, { section: 'Stalls' }));

  await test.step('the buyer pays, and is told what happened', async () => {
    await buyer.page.goto(`/orders/${order.id}`);
    await expect(whatHappened(buyer)).toHaveText([/^You reserved 1 ticket\./]);
    await payWith(buyer.page, CARDS.good);
    await expectPaid(buyer.page);
    await expect(whatHappened(buyer)).toHaveText([/^You reserved/, /^You began to pay\./, /^You paid £35\.00,/]);
    await expect(whatHappened(buyer).first().getByRole('time')).toHaveAttribute('datetime', /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
  });

  await test.step('the seller is asked once more before the money goes back', async () => {
    await seller.page.goto('/selling');
    await expect(seller.page.getByText('Owed to you: £35.00.')).toBeVisible();
    await listings(seller).getByRole('link', { name: /^Refund buyer/ }).click();
    await expect(seller.page).toHaveURL(new RegExp(`${refundPage(order)}$`));
    await expect(seller.page.getByRole('heading', { name: 'Refund the buyer', level: 1 })).toBeVisible();
    await expect(seller.page.getByRole('main')).toContainText(event.title);
    await seller.page.getByRole('link', { name: 'Back, without a refund' }).click();
    await expect(listings(seller).getByText('Sold', { exact: true })).toBeVisible();
  });

  await test.step('and sends it back', async () => {
    await listings(seller).getByRole('link', { name: /^Refund buyer/ }).click();
    await seller.page.getByRole('button', { name: 'Refund £35.00' }).click();
    await expect(seller.page.getByRole('status')).toHaveText('£35.00 is on its way back to the buyer.');
    await expect(seller.page).toHaveURL(/\/selling$/);
    await expect(listings(seller).getByText('Refunded', { exact: true })).toBeVisible();
    await expect(listings(seller).getByRole('link', { name: /^Refund buyer/ })).toBeHidden();
    await expect(seller.page.getByText('Owed to you')).toBeHidden();
  });

  await test.step('the order says so on top, on the ticket and in what happened', async () => {
    await buyer.page.goto(`/orders/${order.id}`);
    await expect(buyer.page.getByRole('status')).toContainText('This order was refunded. £35.00 went back');
    const ticket = buyer.page.getByRole('main').getByRole('listitem').filter({ hasText: 'Bea Buyer' });
    await expect(ticket).toContainText('Refunded £35.00; banks take 5–10 days');
    await expect(whatHappened(buyer).last()).toContainText('You were refunded £35.00.');
    await expect(buyer.page.getByText('What remains£0.00')).toBeVisible();
  });

  await test.step('and the ticket can no longer be used', async () => {
    await buyer.page.goto('/tickets');
    await expect(buyer.page.getByText('You have no tickets yet.')).toBeVisible();
    const refunded = buyer.page.getByRole('region', { name: 'Refunded to you' }).getByRole('listitem');
    await expect(refunded).toContainText('Refunded £35.00');
    await refunded.getByRole('link', { name: event.title }).click();
    await expect(buyer.page).toHaveURL(new RegExp(`/orders/${order.id}$`));
  });
});

test('of an order of two tickets one is refunded, and the other stays', async ({ someone }) => {
  const { seller, buyer, order } = await sold(someone, 2);
  await seller.page.goto(refundPage(order));
  await seller.page.getByRole('button', { name: 'Refund £35.00' }).click();
  await expect(seller.page.getByRole('status')).toHaveText('£35.00 is on its way back to the buyer.');
  await expect(seller.page.getByText('Owed to you: £36.00.')).toBeVisible();
  await expect(listings(seller).getByRole('link', { name: /^Refund buyer: .*Seat 2$/ })).toBeVisible();

  await buyer.page.goto(`/orders/${order.id}`);
  await expect(buyer.page.getByRole('status')).toHaveText('A part of this order was refunded. 1 ticket is still yours.');
  const summary = buyer.page.getByRole('complementary', { name: 'What you are buying' });
  for (const words of ['Total£71.00', 'Refunded−£35.00', 'What remains£36.00']) await expect(summary).toContainText(words);
  await buyer.page.goto('/tickets');
  const ticket = buyer.page.getByRole('region', { name: 'Yours to use' }).getByRole('listitem');
  await expect(ticket).toContainText('Seat 2');
  await expect(ticket).not.toContainText('Refund');
});

test('a ticket that was refunded in another tab is refused in words, and paid back once', async ({ someone }) => {
  const { seller, order } = await sold(someone, 1);
  await seller.page.goto(refundPage(order));
  const second = await seller.anotherTab();
  await second.goto(refundPage(order));
  await second.getByRole('button', { name: 'Refund £35.00' }).click();
  await expect(second.getByRole('status')).toHaveText('£35.00 is on its way back to the buyer.');

  await seller.page.getByRole('button', { name: 'Refund £35.00' }).click();
  await expect(alert(seller.page)).toHaveText('This ticket is not sold, so there is nothing to refund.');
  await expect(seller.page.getByText('£35.00 went back to the buyer')).toBeVisible();
  await expect(seller.page.getByRole('button', { name: /^Refund/ })).toBeHidden();
  await seller.page.getByRole('link', { name: 'Back to what you sell' }).click();
  await expect(listings(seller)).toHaveCount(1);
});

test('a ticket that nobody has bought has nothing to refund', async ({ someone }) => {
  const seller = await someone('Sally');
  const ticket = await seller.listTicket(await seller.createEvent(), 3500);
  await seller.page.goto('/selling');
  await expect(listings(seller).getByRole('link', { name: /^Refund buyer/ })).toBeHidden();
  await seller.page.goto(`/tickets/${ticket.id}/refund`);
  await expect(seller.page.getByText('This ticket is not sold, so there is nothing to refund.')).toBeVisible();
  await expect(seller.page.getByRole('button', { name: /^Refund/ })).toBeHidden();
});

test('only the seller sees the page of a refund', async ({ someone, visitor, allow }) => {
  allow(/status of 404/);
  const { buyer, order } = await sold(someone, 1);
  expect((await buyer.page.goto(refundPage(order)))?.status()).toBe(404);
  await expect(buyer.page.getByRole('heading', { name: 'There is nothing here' })).toBeVisible();
  const guest = await visitor();
  await guest.page.goto(refundPage(order));
  await expect(guest.page).toHaveURL(/\/signin\?next=\/tickets\//);
});

test('axe finds no violation in a refund, before and after, in light and dark', { tag: '@with-javascript' }, async ({ someone }) => {
  const { seller, buyer, order } = await sold(someone, 2);
  await seller.page.goto(refundPage(order));
  await expectNothingWrong(seller.page);
  await seller.page.getByRole('button', { name: 'Refund £35.00' }).click();
  await expect(listings(seller).getByText('Refunded', { exact: true })).toBeVisible();
  await expectNothingWrong(seller.page);
  await buyer.page.goto(`/orders/${order.id}`);
  await expectNothingWrong(buyer.page);
});
