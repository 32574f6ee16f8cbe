// A ticket's whole journey, from seller to buyer.
import { expect, test } from '../support/fixtures.ts';
import { goByMenu, summary } from '../support/menu.ts';
import { CARDS, expectPaid, secondsLeft } from '../support/paying.ts';
import { PASSWORD, unique } from '../support/people.ts';

const ORDER = /\/orders\/[0-9a-f-]{36}$/;

test('a ticket goes from its seller to its buyer, found by the search and paid by card', { tag: '@every-browser' }, async ({ visitor, someone, payWith, javaScriptEnabled }) => {
  const title = unique('The Paper Lantern');
  const { page: seller, email } = await visitor();

  await test.step('the seller signs up', async () => {
    await seller.goto('/');
    await goByMenu(seller, 'Sign up');
    await seller.getByLabel('E-mail').fill(email);
    await seller.getByLabel('Password').fill(PASSWORD);
    await seller.getByLabel('Name').fill('Sally Seller');
    await seller.getByRole('button', { name: 'Sign up' }).click();
    await expect(seller.getByRole('status')).toHaveText('Welcome, Sally Seller.');
  });

  await test.step('and creates the event', async () => {
    await goByMenu(seller, 'Sell');
    await expect(seller.getByRole('heading', { name: 'Sell tickets', level: 1 })).toBeVisible();
    await seller.getByText('Not listed yet? Create the event').click();
    await seller.getByLabel('Title').fill(title);
    await seller.getByLabel('Venue', { exact: true }).fill('Old Hall');
    await seller.getByLabel('City', { exact: true }).fill('Leeds');
    await seller.getByLabel('Country').selectOption('United Kingdom');
    await seller.getByLabel('Date').fill('2031-05-01');
    await seller.getByLabel('Begins at').fill('20:30');
    await seller.getByLabel('What to expect').fill('One lantern.\n\nNo interval.');
    await seller.getByRole('button', { name: 'Create the event' }).click();
    await expect(seller.getByRole('status')).toContainText('Check these fields, and press the button again');
    await expect(seller.getByLabel('Time zone of the venue')).toHaveValue('Europe/London');
    await expect(seller.getByLabel('Currency of its tickets')).toHaveValue('GBP');
    await seller.getByRole('button', { name: 'Create the event' }).click();
    await expect(seller.getByRole('status')).toHaveText(`${title} is created. You can add a picture, and then list your tickets.`);
    await seller.getByRole('link', { name: 'Go on without a picture' }).click();
  });

  await test.step('and lists two tickets for it', async () => {
    await seller.getByLabel('Face value').fill('40');
    await seller.getByLabel('Section').fill('Stalls');
    await seller.getByLabel('How many alike').fill('2');
    await seller.getByRole('button', { name: 'Go on to the price' }).click();
    await seller.getByLabel('Price of each').fill('42.50');
    await seller.getByRole('button', { name: 'Go on to the check' }).click();
    await seller.getByRole('button', { name: 'Put 2 on sale' }).click();
    await expect(seller.getByRole('status')).toHaveText('Your 2 tickets are on sale.');
    await seller.getByRole('link', { name: 'What you sell for it' }).click();
    const listings = seller.getByRole('article', { name: title }).getByRole('listitem');
    await expect(listings.filter({ has: seller.getByText('On sale', { exact: true }) })).toHaveCount(2);
    await expect(listings.first()).toContainText('£42.50');
  });

  const { page: buyer } = await someone('Bea Buyer');

  await test.step('somebody else finds it by the search', async () => {
    await buyer.goto('/');
    await buyer.getByRole('searchbox', { name: 'Search events' }).fill(title.toUpperCase());
    await buyer.keyboard.press('Enter');
    await buyer.getByRole('link', { name: title }).click();
    await expect(buyer.getByRole('heading', { name: title, level: 1 })).toBeVisible();
    await expect(buyer.getByText('Thursday 1 May 2031, 8:30 pm BST')).toBeVisible();
    await expect(buyer.getByText('No interval.')).toBeVisible();
    const offer = buyer.getByRole('listitem').filter({ hasText: 'Stalls' });
    for (const words of ['from Sally Seller', '2 left', '£42.50', 'face value £40.00']) await expect(offer).toContainText(words);
  });

  await test.step('reserves one, which is then held', async () => {
    await buyer.getByLabel('How many, Stalls').selectOption('1 for £42.50');
    await buyer.getByRole('button', { name: 'Reserve Stalls at £42.50' }).click();
    await expect(buyer).toHaveURL(ORDER);
    const bought = await summary(buyer);
    for (const words of [title, 'Stalls', 'Old Hall, Leeds', 'Total£42.50']) await expect(bought).toContainText(words);
    const left = await secondsLeft(buyer);
    expect(left).toBeGreaterThan(14 * 60);
    expect(left).toBeLessThanOrEqual(15 * 60);
    if (javaScriptEnabled) await expect.poll(() => secondsLeft(buyer), 'the countdown runs').toBeLessThan(left);
  });

  await test.step('pays for it and has the ticket', async () => {
    await payWith(buyer, CARDS.good);
    await expectPaid(buyer);
    const ticket = buyer.getByRole('main').getByRole('listitem').filter({ hasText: 'Bea Buyer' });
    for (const words of [title, 'Thu 1 May 2031, 8:30 pm', 'Old Hall, Leeds', 'Stalls']) await expect(ticket).toContainText(words);
    await expect(buyer.getByRole('timer')).toBeHidden();
  });

  await test.step('on the order, under Tickets and under Orders', async () => {
    await goByMenu(buyer, 'Tickets');
    await expect(buyer.getByRole('region', { name: 'Yours to use' }).getByRole('listitem')).toContainText([title]);
    await goByMenu(buyer, 'Orders');
    await expect(buyer.getByRole('link', { name: title })).toContainText('Paid');
    await buyer.getByRole('link', { name: title }).click();
    await expectPaid(buyer);
  });

  await test.step('and the seller sees which of the two is sold', async () => {
    await seller.goto('/tickets');
    await seller.getByRole('region', { name: 'Yours for sale' }).getByRole('link', { name: title }).click();
    const listings = seller.getByRole('article', { name: title }).getByRole('listitem');
    await expect(listings.filter({ has: seller.getByText('Sold', { exact: true }) })).toHaveCount(1);
    await expect(listings.filter({ has: seller.getByText('On sale', { exact: true }) })).toHaveCount(1);
  });
});

test('single seats are reserved together, and the others stay', { tag: '@every-browser' }, async ({ someone }) => {
  const [seller, buyer] = [await someone('Sally'), await someone('Bea')];
  const event = await seller.createEvent();
  for (const seat of ['11', '12', '13']) await seller.listTicket(event, 3800, { section: 'Stalls', row: 'F', seat });

  await buyer.page.goto(`/events/${event.id}`);
  await buyer.page.getByRole('checkbox', { name: 'Stalls, Row F, Seat 11' }).check();
  await buyer.page.getByRole('checkbox', { name: 'Stalls, Row F, Seat 13' }).check();
  await buyer.page.getByRole('button', { name: 'Reserve these seats' }).click();
  await expect(buyer.page).toHaveURL(ORDER);
  const lines = (await summary(buyer.page)).getByRole('listitem');
  await expect(lines).toHaveText([/Row F, Seat 11 from Sally\s*£38\.00/, /Row F, Seat 13 from Sally\s*£38\.00/]);
  await expect(buyer.page.getByText('Total£76.00')).toBeVisible();

  await buyer.page.goto(`/events/${event.id}`);
  await expect(buyer.page.getByRole('checkbox', { name: 'Seat 12' })).toBeEnabled();
  await expect(buyer.page.getByText('1 available · 2 being bought right now')).toBeVisible();
});

test('reserving no seat is refused in words', async ({ someone }) => {
  const [seller, buyer] = [await someone('Sally'), await someone('Bea')];
  const event = await seller.createEvent();
  await seller.listTicket(event, 3800, { seat: '1' });
  await buyer.page.goto(`/events/${event.id}`);
  await buyer.page.getByRole('button', { name: 'Reserve these seats' }).click();
  await expect(buyer.page.getByRole('alert')).toHaveText('Tick the seats that you want.');
  await expect(buyer.page.getByRole('alert')).toBeInViewport({ ratio: 1 });
  await expect(buyer.page).toHaveURL(new RegExp(`/events/${event.id}$`));
});

test('of two buyers of the last ticket one gets it and the other is told why not', async ({ someone, javaScriptEnabled }) => {
  const [seller, first, second] = [await someone('Sally'), await someone('Fay'), await someone('Sid')];
  const event = await seller.createEvent();
  await seller.listTicket(event, 2500, { seat: '1' });
  for (const { page } of [first, second]) {
    await page.goto(`/events/${event.id}`);
    await page.getByRole('checkbox', { name: 'Seat 1' }).check();
  }
  await first.page.getByRole('button', { name: 'Reserve these seats' }).click();
  await expect(first.page).toHaveURL(ORDER);
  if (javaScriptEnabled) {
    await expect(second.page.getByText('Seat 1 has just been taken.')).toBeAttached();
  } else {
    await second.page.getByRole('button', { name: 'Reserve these seats' }).click();
    await expect(second.page.getByRole('alert')).toContainText('A buyer is paying for this ticket right now.');
  }
  await second.page.goto('/orders');
  await expect(second.page.getByText('You have not ordered anything yet.')).toBeVisible();
});

test('general admission that was chosen is not swapped for a cheaper section', async ({ someone }) => {
  const [seller, buyer] = [await someone('Sally'), await someone('Bea')];
  const event = await seller.createEvent();
  await seller.listTickets(event, 2, 5000);
  await seller.listTickets(event, 2, 1000, 'Behind a pillar');
  await buyer.page.goto(`/events/${event.id}`);
  await buyer.page.getByRole('button', { name: 'Reserve General admission at £50.00' }).click();
  const lines = (await summary(buyer.page)).getByRole('listitem');
  await expect(lines).toHaveText([/General admission from Sally\s*£50\.00/]);
});

test('two tickets from one offer are two of that offer, not somebody else\'s single seats', async ({ someone }) => {
  const [seller, other, buyer] = [await someone('Sally'), await someone('Otto'), await someone('Bea')];
  const event = await seller.createEvent();
  await seller.listTickets(event, 4, 4200, 'Stalls');
  await other.listTicket(event, 3800, { section: 'Stalls', row: 'Z', seat: '1' });
  await buyer.page.goto(`/events/${event.id}`);
  await buyer.page.getByLabel('How many, Stalls').selectOption('2 for £84.00');
  await buyer.page.getByRole('button', { name: 'Reserve Stalls at £42.00' }).click();
  const lines = (await summary(buyer.page)).getByRole('listitem');
  await expect(lines).toHaveText([/^Stalls from Sally\s*£42\.00$/, /^Stalls from Sally\s*£42\.00$/]);
});

test('two sellers who ask the same for the same section each have an offer to choose from', async ({ someone }) => {
  const [sally, otto, buyer] = [await someone('Sally'), await someone('Otto'), await someone('Bea')];
  const event = await sally.createEvent();
  await sally.listTickets(event, 2, 4200, 'Stalls');
  await otto.listTickets(event, 3, 4200, 'Stalls');
  await buyer.page.goto(`/events/${event.id}`);
  for (const [seller, left] of [['Sally', 2], ['Otto', 3]] as const) {
    const offer = buyer.page.getByRole('listitem').filter({ hasText: `from ${seller}` });
    await expect(offer).toContainText(`${left} left`);
    await expect(offer.getByLabel('How many, Stalls'), 'labelled, each of them').toBeVisible();
  }
});

test('an order is seen by its buyer alone', async ({ someone, allow }) => {
  allow(/status of 404/);
  const [seller, buyer, nosy] = [await someone('Sally'), await someone('Bea'), await someone('Nosy')];
  const order = await buyer.reserve(await seller.listTicket(await seller.createEvent()));
  const answer = await nosy.page.goto(`/orders/${order.id}`);
  expect(answer?.status()).toBe(404);
  await expect(nosy.page.getByRole('heading', { name: 'There is nothing here' })).toBeVisible();
});
