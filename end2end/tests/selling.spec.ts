// What sellers can do with their listings, and what is refused.
import type { Page } from '@playwright/test';
import { expect, holdBack, test } from '../support/fixtures.ts';
import { type Person, unique } from '../support/people.ts';

const listings = ({ page }: Person) => page.getByRole('region', { name: 'Yours for sale' }).getByRole('listitem');

const expectStep = (page: Page, name: string) =>
  expect(page.getByRole('list', { name: 'Steps' }).locator('[aria-current="step"]')).toHaveText(new RegExp(`^\\d\\s*${name}$`));

/** A seller on the page of one of their listings, with its form open. */
async function changing(seller: Person, label: string): Promise<void> {
  await seller.page.goto('/selling');
  await seller.page.getByLabel(new RegExp(`^Change .*, ${label}$`)).click();
}

test('a seller changes price and seat of a listing, and buyers see them', async ({ someone, visitor }) => {
  const [seller, guest] = [await someone('Sally'), await visitor()];
  const event = await seller.createEvent();
  await seller.listTicket(event, 2500, { section: 'Stalls', row: 'C', seat: '7' });
  await changing(seller, 'Stalls, Row C, Seat 7');
  await expect(seller.page.getByLabel('Price', { exact: true })).toHaveValue('25.00');
  await seller.page.getByLabel('Price', { exact: true }).fill('31.20');
  await seller.page.getByLabel(/^Seat/).fill('8');
  await seller.page.getByRole('button', { name: 'Save' }).click();
  await expect(seller.page.getByRole('status')).toHaveText('Stalls, Row C, Seat 8 is now £31.20.');
  await expect(listings(seller)).toContainText('£31.20');

  await guest.page.goto(`/events/${event.id}`);
  await expect(guest.page.getByRole('checkbox', { name: 'Stalls, Row C, Seat 8' })).toBeEnabled();
  await expect(guest.page.getByRole('listitem').filter({ hasText: 'Seat 8' })).toContainText('£31.20');
  await expect(guest.page.getByText('Seat 7')).toBeHidden();
});

test('a seller takes a ticket off sale, and nobody can buy it any more', async ({ someone, visitor }) => {
  const [seller, guest] = [await someone('Sally'), await visitor()];
  const event = await seller.createEvent();
  await seller.listTicket(event, 2500, { section: 'Stalls' });
  await changing(seller, 'Stalls');
  await seller.page.getByRole('button', { name: /^Take it off sale/ }).click();
  await expect(seller.page.getByRole('status')).toHaveText('The ticket is off sale.');
  await expect(listings(seller).getByText('Withdrawn', { exact: true })).toBeVisible();
  await expect(seller.page.getByText('Change', { exact: true })).toBeHidden();

  await guest.page.goto(`/events/${event.id}`);
  await expect(guest.page.getByText('Nothing is for sale right now.')).toBeVisible();
  await expect(guest.page.getByRole('button', { name: /^Reserve/ })).toBeHidden();
});

test('a ticket is sold in five steps, and the price says what is paid', { tag: '@every-browser' }, async ({ someone, javaScriptEnabled }) => {
  const [other, seller] = [await someone('Otto'), await someone('Sally')];
  const event = await other.createEvent();
  await other.listTicket(event, 1800, { section: 'Stalls' });
  await other.listTicket(event, 1500);
  const { page } = seller;
  await page.goto('/sell');
  await expectStep(page, 'Event');
  await page.getByRole('searchbox', { name: 'Find the event' }).fill(event.title);
  await page.getByRole('button', { name: 'Find' }).click();
  await page.getByRole('link', { name: event.title }).click();

  await expectStep(page, 'Tickets');
  await page.getByLabel('How many alike').fill('2');
  await page.getByLabel('Section').fill('Stalls');
  await page.getByLabel('Face value').fill('20');
  await page.getByRole('button', { name: 'Go on to the price' }).click();

  await expectStep(page, 'Price');
  for (const words of ['Cheapest now, Stalls£18.00', 'Cheapest now£15.00', 'Your face value£20.00']) {
    await expect(page.getByRole('main')).toContainText(words);
  }
  const payout = page.getByText(/^You (are paid|see)/);
  if (javaScriptEnabled) {
    await page.getByLabel('Price of each').pressSequentially('24');
    await expect(payout).toHaveText('You are paid £24.00 for each ticket, £48.00 for all.');
    await page.getByLabel('Price of each').fill('cheap');
    await expect(payout).toHaveText('You see what you will be paid before anything goes on sale.');
  }
  await page.getByLabel('Price of each').fill('24.5');
  await page.getByRole('button', { name: 'Go on to the check' }).click();

  await expectStep(page, 'Check');
  await expect(payout).toHaveText('You are paid £24.50 for each ticket, £49.00 for all.');
  await page.getByRole('link', { name: 'Back' }).click();
  await expectStep(page, 'Price');
  await expect(page.getByLabel('Price of each')).toHaveValue('24.5');
  await page.getByRole('listitem').getByRole('link', { name: 'Tickets' }).click();
  await expect(page.getByLabel('Section')).toHaveValue('Stalls');
  await expect(page.getByLabel('How many alike')).toHaveValue('2');
  await page.getByRole('button', { name: 'Go on to the price' }).click();
  await page.getByRole('button', { name: 'Go on to the check' }).click();
  await page.getByRole('button', { name: 'Put 2 on sale' }).click();

  await expectStep(page, 'On sale');
  await expect(page.getByRole('status')).toHaveText('Your 2 tickets are on sale.');
  await expect(page.getByText(`Your tickets for ${event.title}: 2 on sale.`)).toBeVisible();
  await expect(page.getByLabel('Share this link')).toHaveValue(new RegExp(`/events/${event.id}$`));
  await page.goBack();
  await page.getByRole('button', { name: 'Put 2 on sale' }).click();
  await expect(page.getByText(`Your tickets for ${event.title}: 2 on sale.`), 'and no more than that').toBeVisible();
  await page.getByRole('link', { name: 'List another' }).click();
  await expectStep(page, 'Tickets');
  await page.goto('/selling');
  await expect(listings(seller)).toHaveCount(2);
  await expect(listings(seller).first()).toContainText('£24.50');
});

test('a price that is entered before hydration counts as well', { tag: '@with-javascript' }, async ({ someone }) => {
  const seller = await someone('Sally');
  const event = await seller.createEvent();
  const { page } = seller;
  await page.goto(`/sell?event=${event.id}`);
  await page.getByLabel('How many alike').fill('2');
  const release = await holdBack(page, '**/*.wasm');
  await page.getByRole('button', { name: 'Go on to the price' }).click();
  await page.getByLabel('Price of each').fill('24');
  await expect(page.getByText('You see what you will be paid before anything goes on sale.')).toBeVisible();
  release();
  await expect(page.getByText('You are paid £24.00 for each ticket, £48.00 for all.')).toBeVisible();
});

test('an invalid listing shows errors at the fields and keeps the input', async ({ someone }) => {
  const seller = await someone('Sally');
  const event = await seller.createEvent();
  const { page } = seller;
  await page.goto(`/sell?event=${event.id}`);
  await page.getByLabel('Face value').fill('1.234');
  await page.getByLabel('Section').fill('Gallery & Gods');
  await page.getByLabel('How many alike').fill('3');
  await page.getByRole('button', { name: 'Go on to the price' }).click();
  await expect(page.getByRole('alert')).toBeVisible();
  await expect(page.getByLabel('Face value')).toHaveAccessibleDescription(/Did you mean 1234\.00 or 1\.23\?/);
  await expect(page.getByLabel('Face value')).toHaveAttribute('aria-invalid', 'true');
  await expect(page.getByLabel('Section')).not.toHaveAttribute('aria-invalid');
  await expect(page.getByLabel('Face value')).toHaveValue('1.234');
  await expect(page.getByLabel('Section')).toHaveValue('Gallery & Gods');
  await expect(page.getByLabel('How many alike')).toHaveValue('3');
  await page.getByLabel('Face value').fill('');
  await page.getByRole('button', { name: 'Go on to the price' }).click();

  for (const [price, words] of [['cheap', /Write an amount like 25\.00\./], ['0', /A ticket can cost from £0\.30/]] as const) {
    await page.getByLabel('Price of each').fill(price);
    await page.getByRole('button', { name: 'Go on to the check' }).click();
    await expect(page.getByLabel('Price of each')).toHaveAccessibleDescription(words);
    await expect(page.getByLabel('Price of each')).toHaveAttribute('aria-invalid', 'true');
    await expect(page.getByLabel('Price of each')).toHaveValue(price);
  }
  await expect(page.getByText('minor units'), 'sellers know pounds, not minor units').toBeHidden();
  await page.getByLabel('Price of each').fill('12');
  await page.getByRole('button', { name: 'Go on to the check' }).click();
  await expect(page.getByRole('main')).toContainText('Gallery & Gods');
  await page.getByRole('button', { name: 'Put 3 on sale' }).click();
  await expect(page.getByRole('status')).toHaveText('Your 3 tickets are on sale.');
  await page.goto('/selling');
  await expect(listings(seller)).toHaveCount(3);
  await expect(listings(seller).first()).toContainText('Gallery & Gods');
});

test('the same seat is not listed twice by one seller', async ({ someone }) => {
  const seller = await someone('Sally');
  const event = await seller.createEvent();
  await seller.listTicket(event, 2500, { section: 'Stalls', row: 'C', seat: '7' });
  const { page } = seller;
  await page.goto(`/sell?event=${event.id}`);
  await page.getByLabel('Section').fill('Stalls');
  await page.getByLabel(/^Row/).fill('C');
  await page.getByLabel(/^Seat/).fill('7');
  await page.getByRole('button', { name: 'Go on to the price' }).click();
  await expect(page.getByLabel(/^Seat/)).toHaveAccessibleDescription('This seat is already listed for this event. If it is yours, the shop can take the other listing off sale: see Help.');
  await expect(page.getByLabel(/^Row/)).toHaveValue('C');
});

test('all unsold tickets of an event are changed at once, except held ones', { tag: '@every-browser' }, async ({ someone }) => {
  const [seller, buyer] = [await someone('Sally'), await someone('Bea')];
  const event = await seller.createEvent();
  await seller.listTickets(event, 2, 2500, 'Stalls');
  await seller.listTickets(event, 2, 2500, 'Circle');
  const held = await seller.listTicket(event, 2000, { section: 'Circle' });
  await buyer.reserve(held);
  const { page } = seller;
  await page.goto(`/selling?event=${event.id}`);
  await page.getByLabel(/^Change all unsold/).click();
  await page.getByLabel('New price of each').fill('free');
  await page.getByRole('button', { name: 'Change the price' }).click();
  await expect(page.getByLabel('New price of each')).toHaveAccessibleDescription(/Write an amount like 25\.00\./);
  await page.getByLabel('New price of each').fill('31');
  await page.getByRole('button', { name: 'Change the price' }).click();
  await expect(page.getByRole('status')).toHaveText(
    '4 tickets now cost £31.00. 1 is held by a buyer who is paying, and keeps its price.',
  );
  await expect(listings(seller).filter({ hasText: '£31.00' })).toHaveCount(4);
  await expect(listings(seller).filter({ hasText: '£20.00' })).toHaveCount(1);

  await page.getByLabel(/^Change all unsold/).click();
  await page.getByLabel('Which tickets').last().selectOption('Stalls (2)');
  await page.getByRole('button', { name: 'Take all unsold off sale' }).click();
  await expect(page.getByRole('status')).toHaveText('2 tickets are off sale.');
  await page.getByRole('navigation', { name: 'Which tickets' }).getByRole('link', { name: 'Withdrawn' }).click();
  await expect(page).toHaveURL(/status=withdrawn/);
  await expect(listings(seller)).toHaveCount(2);
});

test('sales are shown as a chart by day, in words, and as a file to download', async ({ someone }) => {
  const [seller, buyer] = [await someone('Sally'), await someone('Bea')];
  const { page } = seller;
  await page.goto('/selling');
  await expect(page.getByText('You are not selling anything.')).toBeVisible();
  const ticket = await seller.listTicket(await seller.createEvent(), 3500);
  await page.goto('/selling');
  await expect(page.getByText(/^Nothing was sold in the last 30 days\./)).toBeVisible();
  await buyer.pay(await buyer.reserve(ticket));
  await page.goto('/selling');
  await expect(page.getByText('Owed to you: £35.00.')).toBeVisible();
  await expect(page.getByRole('img', { name: /^Tickets sold from .*: 1 ticket in all/ })).toBeVisible();
  await expect(page.getByRole('img', { name: /^Revenue from .*: £35\.00 in all/ })).toBeVisible();
  await page.getByText('The same as a table').click();
  await expect(page.getByRole('table', { name: 'Sales by day' }).getByRole('row')).toHaveCount(2);
  const [file] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: 'Download sales (CSV)' }).click()]);
  expect(file.suggestedFilename()).toBe('sales.csv');
});

test('an invalid change opens its listing, shows the error and keeps the input', async ({ someone }) => {
  const seller = await someone('Sally');
  const event = await seller.createEvent();
  for (const seat of ['7', '8']) await seller.listTicket(event, 2500, { section: 'Stalls', row: 'C', seat });
  await changing(seller, 'Stalls, Row C, Seat 7');
  const listing = listings(seller).filter({ hasText: 'Seat 7' });
  await listing.getByLabel('Price', { exact: true }).fill('free');
  await listing.getByLabel('Section').fill('Circle');
  await listing.getByRole('button', { name: 'Save' }).click();

  await expect(listing.getByLabel('Price', { exact: true })).toHaveAccessibleDescription('Write an amount like 25.00.');
  await expect(listing.getByLabel('Price', { exact: true })).toHaveValue('free');
  await expect(listing.getByLabel('Section')).toHaveValue('Circle');
  const other = listings(seller).filter({ hasText: 'Seat 8' });
  await expect(other.getByLabel('Price', { exact: true }), 'the other listing stays as it was').toBeHidden();
  await seller.page.goto('/selling');
  await expect(listing.getByLabel('Price', { exact: true }), 'what is wrong is said once').toBeHidden();
});

test('an invalid event shows errors at the fields and keeps the input', async ({ someone }) => {
  const { page } = await someone('Sally');
  const title = unique('Yesterday');
  await page.goto('/sell');
  await page.getByText('Not listed yet? Create the event').click();
  await page.getByLabel('Title').fill(title);
  await page.getByLabel('Venue', { exact: true }).fill('Old Hall');
  await page.getByLabel('City', { exact: true }).fill('Lyon');
  await page.getByLabel('Country').selectOption('France');
  await page.getByLabel('Date').fill('2020-02-02');
  await page.getByLabel('Begins at').fill('20:15');
  await page.getByLabel('Time zone of the venue').selectOption('Europe/Paris');
  await page.getByLabel('Currency of its tickets').selectOption('EUR');
  await page.getByRole('button', { name: 'Create the event' }).click();

  await expect(page.getByLabel('Date')).toHaveAccessibleDescription('Choose a time in the future.');
  await expect(page.getByLabel('Date')).toHaveValue('2020-02-02');
  await expect(page.getByLabel('Title')).toHaveValue(title);
  await expect(page.getByLabel('Country')).toHaveValue('FR');
  await expect(page.getByLabel('Begins at')).toHaveValue('20:15');
  await expect(page.getByLabel('Time zone of the venue')).toHaveValue('Europe/Paris');
  await expect(page.getByLabel('Currency of its tickets')).toHaveValue('EUR');
  await page.getByLabel('Date').fill('2031-02-02');
  await page.getByRole('button', { name: 'Create the event' }).click();
  await expect(page.getByRole('status')).toContainText(`${title} is created.`);
  await page.getByRole('link', { name: 'Go on without a picture' }).click();
  await expect(page.getByText('Sun 2 Feb 2031, 8:15 pm')).toBeVisible();

  await page.goto('/sell');
  await page.getByText('Not listed yet? Create the event').click();
  const again = { Title: title, Date: '2031-02-02', 'Begins at': '20:15' };
  for (const [field, value] of Object.entries(again)) await page.getByLabel(field).fill(value);
  await page.getByLabel('Venue', { exact: true }).fill('Old Hall');
  await page.getByLabel('City', { exact: true }).fill('Lyon');
  await page.getByLabel('Country').selectOption('France');
  await page.getByLabel('Time zone of the venue').selectOption('Europe/Paris');
  await page.getByLabel('Currency of its tickets').selectOption('EUR');
  await page.getByRole('button', { name: 'Create the event' }).click();
  await expect(page.getByRole('status')).toHaveText(`You have created ${title} already.`);
});

test('an existing event is found, and so are the user\'s own', async ({ someone }) => {
  const [other, seller] = [await someone('Otto'), await someone('Sally')];
  const [theirs, own] = [await other.createEvent(), await seller.createEvent()];
  const { page } = seller;
  await page.goto('/sell');
  await expect(page.getByRole('link', { name: own.title })).toBeVisible();
  await page.getByRole('searchbox', { name: 'Find the event' }).fill(theirs.title);
  await page.getByRole('button', { name: 'Find' }).click();
  await page.getByRole('link', { name: theirs.title }).click();
  await expect(page.getByRole('link', { name: theirs.title })).toHaveAttribute('href', `/events/${theirs.id}`);
  await expect(page.getByLabel('How many alike')).toBeVisible();

  await page.goto(`/sell?q=${encodeURIComponent(unique('Nobody knows'))}`);
  await expect(page.getByRole('status')).toHaveText('No event matches. Create it below.');
  await expect(page.getByLabel('Title')).toBeVisible();
});

test('a ticket that somebody is paying for shows it and cannot be changed', async ({ someone }) => {
  const [seller, buyer] = [await someone('Sally'), await someone('Bea')];
  const ticket = await seller.listTicket(await seller.createEvent(), 2500, { section: 'Stalls' });
  await changing(seller, 'Stalls');
  await buyer.reserve(ticket);
  await seller.page.getByLabel('Price', { exact: true }).fill('99');
  await seller.page.getByRole('button', { name: 'Save' }).click();
  await expect(seller.page.getByRole('alert')).toContainText('A buyer is paying for this ticket right now.');

  await seller.page.goto('/selling');
  await expect(listings(seller).getByText(/^Held for 1[45]:\d\d$/)).toBeVisible();
  await expect(listings(seller)).toContainText('£25.00');
  await expect(seller.page.getByText('Change', { exact: true })).toBeHidden();
});

test('a ticket that somebody is paying for cannot be taken off sale', async ({ someone }) => {
  const [seller, buyer] = [await someone('Sally'), await someone('Bea')];
  const ticket = await seller.listTicket(await seller.createEvent(), 2500, { section: 'Stalls' });
  await changing(seller, 'Stalls');
  const order = await buyer.reserve(ticket);
  await seller.page.getByRole('button', { name: /^Take it off sale/ }).click();
  await expect(seller.page.getByRole('alert')).toContainText('A buyer is paying for this ticket right now.');
  await buyer.pay(order);
  await seller.page.goto('/selling');
  await expect(listings(seller).getByText('Sold', { exact: true })).toBeVisible();
});

test('of two tabs that change one listing the later is refused and changes nothing', async ({ someone }) => {
  const seller = await someone('Sally');
  await seller.listTicket(await seller.createEvent(), 2500, { section: 'Stalls' });
  await changing(seller, 'Stalls');
  const second = await seller.anotherTab();
  await second.goto('/selling');
  await second.getByLabel(/^Change (?!all)/).click();
  await second.getByLabel('Price', { exact: true }).fill('26');
  await second.getByRole('button', { name: 'Save' }).click();
  await expect(second.getByRole('status')).toHaveText('Stalls is now £26.00.');

  await seller.page.getByLabel('Price', { exact: true }).fill('27');
  await seller.page.getByRole('button', { name: 'Save' }).click();
  await expect(seller.page.getByRole('alert')).toContainText('This was changed in the meantime.');
  await expect(listings(seller)).toContainText('£26.00');
});

test('one\'s own seats are marked and cannot be ticked', async ({ someone }) => {
  const [seller, other] = [await someone('Sally'), await someone('Otto')];
  const event = await seller.createEvent();
  await seller.listTicket(event, 2500, { row: 'A', seat: '1' });
  await other.listTicket(event, 2500, { row: 'A', seat: '2' });
  await seller.page.goto(`/events/${event.id}`);
  await expect(seller.page.getByRole('checkbox', { name: 'Row A, Seat 1' })).toBeDisabled();
  await expect(seller.page.getByRole('listitem').filter({ hasText: 'Seat 1' })).toContainText('your own');
  await expect(seller.page.getByRole('checkbox', { name: 'Row A, Seat 2' })).toBeEnabled();
});

test('one\'s own unnumbered tickets are marked and cannot be reserved', async ({ someone }) => {
  const [seller, other] = [await someone('Sally'), await someone('Otto')];
  const event = await seller.createEvent();
  await seller.listTickets(event, 3, 2500, 'Stalls');
  await other.listTickets(event, 2, 3000, 'Circle');
  await seller.page.goto(`/events/${event.id}`);
  const offers = seller.page.getByRole('main').getByRole('listitem');
  await expect(offers.filter({ hasText: 'Stalls' })).toContainText('your own · 3 left');
  await expect(offers.filter({ hasText: 'Circle' })).toContainText('from Otto · 2 left');
  await expect(seller.page.getByRole('button', { name: 'Reserve Circle at £30.00' })).toBeVisible();
  await expect(seller.page.getByRole('button', { name: 'Reserve Stalls at £25.00' })).toBeHidden();
});
