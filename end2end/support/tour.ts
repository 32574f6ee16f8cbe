// A tour of every page of the shop, for checks that apply to all of them.
import { expect, type Page } from '@playwright/test';
import { mailTo, ticketsLink } from './mail.ts';
import { type Person, unique } from './people.ts';
import { picture } from './picture.ts';

export interface Cast {
  someone: (name: string) => Promise<Person>;
  visitor: () => Promise<Person>;
  allow: (pattern: RegExp) => void;
}
export interface Stop {
  name: string;
  open: (cast: Cast) => Promise<Page>;
}

// Long words, which may not fit on a small screen.
const longTitle = (): string => unique('Donaudampfschifffahrtsgesellschaftskapitänswitwe');

async function seen(person: Person, path: string): Promise<Page> {
  await person.page.goto(path);
  return person.page;
}

/** A buyer with an unpaid order of two tickets. */
async function ordered({ someone }: Cast) {
  const [seller, buyer] = [await someone('Sally Seller'), await someone('Bartholomew Featherstonehaugh-Cholmondeley')];
  const event = await seller.createEvent(longTitle());
  const tickets = [
    await seller.listTicket(event, 123_456, { section: 'Upper Circle, restricted view', row: 'AA', seat: '101' }),
    await seller.listTicket(event, 2500),
  ];
  return { seller, buyer, order: await buyer.reserve(...tickets) };
}

/** Time limit of a test that visits every stop: about three seconds each, more on a busy machine. */
export const TOUR_MILLIS = 300_000;

export const TOUR: Stop[] = [
  { name: 'the home page', open: async ({ visitor }) => seen(await visitor(), '/') },
  { name: 'the home page of a member', open: async ({ someone }) => seen(await someone('Ann'), '/') },
  { name: 'a search', open: async ({ visitor }) => seen(await visitor(), '/?q=the&city=Leeds') },
  { name: 'a search that finds nothing', open: async ({ visitor }) => seen(await visitor(), '/?q=nowhere') },
  {
    name: 'an event',
    open: async ({ someone }) => {
      const [sally, otto, buyer] = [await someone('Sally'), await someone('Otto'), await someone('Bea')];
      const event = await sally.createEvent(longTitle());
      // Two sellers ask the same for the same section; a seat is held.
      await sally.listTickets(event, 3, 123_456, 'Upper Circle, restricted view');
      await otto.listTickets(event, 1, 123_456, 'Upper Circle, restricted view');
      await buyer.listTicket(event, 900, { row: 'AA', seat: '100' });
      for (const seat of ['101', '102']) await sally.listTicket(event, 4200, { section: 'Stalls', row: 'AA', seat });
      return seen(buyer, `/events/${event.id}`);
    },
  },
  {
    name: 'an event without tickets',
    open: async ({ someone, visitor }) => seen(await visitor(), `/events/${(await (await someone('Ann')).createEvent()).id}`),
  },
  {
    name: 'an event with a picture, seen by its creator',
    open: async ({ someone }) => {
      const creator = await someone('Ann');
      const event = await creator.createEvent(longTitle());
      await creator.givePicture(event, picture(800, 500));
      return seen(creator, `/events/${event.id}`);
    },
  },
  {
    name: 'the edit of an event',
    open: async ({ someone }) => {
      const creator = await someone('Ann');
      const event = await creator.createEvent(longTitle());
      await creator.givePicture(event, picture(800, 500));
      return seen(creator, `/events/${event.id}/edit`);
    },
  },
  {
    name: 'the picture of a new event',
    open: async ({ someone }) => {
      const creator = await someone('Ann');
      return seen(creator, `/events/${(await creator.createEvent(longTitle())).id}/picture`);
    },
  },
  {
    name: 'the edit of an event that was changed meanwhile',
    open: async ({ someone }) => {
      const creator = await someone('Ann');
      const event = await creator.createEvent(longTitle());
      const page = await seen(creator, `/events/${event.id}/edit`);
      const other = await creator.anotherTab();
      await other.goto(`/events/${event.id}/edit`);
      await other.getByLabel('City').fill(longTitle());
      await other.getByRole('button', { name: 'Save the changes' }).click();
      await other.getByText('Your changes are saved').waitFor();
      await other.close();
      await page.getByRole('button', { name: 'Save the changes' }).click();
      await expect(page.getByText('Since you opened this form')).toBeVisible();
      return page;
    },
  },
  {
    name: 'an event to wait for, refused',
    open: async ({ someone, visitor }) => {
      const page = await seen(await visitor(), `/events/${(await (await someone('Ann')).createEvent(longTitle())).id}`);
      await page.getByRole('button', { name: 'Tell me' }).click();
      await expect(page.getByRole('alert')).toBeVisible();
      return page;
    },
  },
  {
    name: 'an event that one waits for',
    open: async ({ someone }) => {
      const waiting = await someone('Ann');
      const event = await waiting.createEvent(longTitle());
      await waiting.confirmAddress();
      await waiting.waitFor(event);
      return seen(waiting, `/events/${event.id}`);
    },
  },
  {
    name: 'the question whether to wait',
    open: async ({ someone, visitor }) => {
      const [seller, guest] = [await someone('Sally'), await visitor()];
      await guest.waitFor(await seller.createEvent(longTitle()));
      const mail = await mailTo(guest.email, 'Please confirm');
      return seen(guest, /\/waiting-list\?token=[0-9a-f]+/.exec(mail)?.[0] ?? '/');
    },
  },
  { name: 'a waiting list that one is not on', open: async ({ visitor }) => seen(await visitor(), '/waiting-list?token=left') },
  {
    name: 'the choice of an event to sell for',
    open: async ({ someone }) => {
      const seller = await someone('Sally');
      await seller.createEvent(longTitle());
      return seen(seller, '/sell?q=the');
    },
  },
  {
    name: 'the form of an event, refused',
    open: async ({ someone }) => {
      const page = await seen(await someone('Sally'), '/sell');
      await page.getByText('Not listed yet? Create the event').click();
      for (const label of ['Title', 'Venue', 'City']) await page.getByLabel(label, { exact: true }).fill(' ');
      await page.getByLabel('Country').selectOption('United Kingdom');
      await page.getByLabel('Time zone of the venue').selectOption('Europe/London');
      await page.getByLabel('Currency of its tickets').selectOption('GBP');
      await page.getByLabel('Date').fill('2031-02-02');
      await page.getByRole('button', { name: 'Create the event' }).click();
      await expect(page.getByRole('alert')).toBeVisible();
      return page;
    },
  },
  {
    name: 'the form of an event, to be checked',
    open: async ({ someone }) => {
      const page = await seen(await someone('Sally'), '/sell');
      await page.getByText('Not listed yet? Create the event').click();
      for (const label of ['Title', 'Venue', 'City']) await page.getByLabel(label, { exact: true }).fill('Berlin');
      await page.getByLabel('Currency of its tickets').selectOption('GBP');
      await page.getByLabel('Date').fill('2031-02-02');
      await page.getByRole('button', { name: 'Create the event' }).click();
      await expect(page.getByRole('status')).toContainText('Prices in Germany');
      return page;
    },
  },
  {
    name: 'the form of a ticket',
    open: async ({ someone }) => {
      const seller = await someone('Sally');
      return seen(seller, `/sell?event=${(await seller.createEvent(longTitle())).id}`);
    },
  },
  {
    name: 'the price of a ticket, refused',
    open: async ({ someone }) => {
      const [other, seller] = [await someone('Otto'), await someone('Sally')];
      const event = await other.createEvent(longTitle());
      await other.listTickets(event, 3, 123_456, 'Upper Circle, restricted view');
      return seen(seller, `/sell?event=${event.id}&step=check&section=Upper%20Circle%2C%20restricted%20view&quantity=2&price=cheap`);
    },
  },
  {
    name: 'the check of a ticket',
    open: async ({ someone }) => {
      const seller = await someone('Sally');
      const event = await seller.createEvent(longTitle());
      return seen(seller, `/sell?event=${event.id}&step=check&section=Upper%20Circle%2C%20restricted%20view&quantity=2&price=1234.56`);
    },
  },
  {
    name: 'tickets that are on sale now',
    open: async ({ someone }) => {
      const seller = await someone('Sally');
      const event = await seller.createEvent(longTitle());
      await seller.listTickets(event, 2, 4200);
      return seen(seller, `/sell?event=${event.id}&step=done`);
    },
  },
  {
    name: 'what one sells and has sold',
    open: async ({ someone }) => {
      const [seller, buyer] = [await someone('Sally'), await someone('Bea')];
      const event = await seller.createEvent(longTitle());
      await seller.listTickets(event, 7, 123_456, 'Upper Circle, restricted view');
      const sold = await seller.listTicket(event, 900, { section: 'Stalls', row: 'AA', seat: '100' });
      await buyer.pay(await buyer.reserve(sold));
      const page = await seen(seller, '/selling');
      await page.getByText('The same as a table').click();
      await page.getByLabel(/^Change all unsold/).click();
      return page;
    },
  },
  { name: 'what one sells before the first', open: async ({ someone }) => seen(await someone('Ann'), '/selling') },
  {
    name: 'one\'s orders',
    open: async (cast) => seen((await ordered(cast)).buyer, '/orders'),
  },
  { name: 'one\'s orders before the first', open: async ({ someone }) => seen(await someone('Ann'), '/orders') },
  {
    name: 'an order to be paid',
    open: async (cast) => {
      const { buyer, order } = await ordered(cast);
      return seen(buyer, `/orders/${order.id}`);
    },
  },
  {
    name: 'an order that waits for the bank',
    open: async (cast) => {
      const { buyer, order } = await ordered(cast);
      await buyer.payAndWaitForTheBank(order);
      return seen(buyer, `/orders/${order.id}`);
    },
  },
  {
    name: 'an order that is paid',
    open: async (cast) => {
      const { buyer, order } = await ordered(cast);
      await buyer.pay(order);
      return seen(buyer, `/orders/${order.id}`);
    },
  },
  {
    name: 'tickets, bought and for sale',
    open: async (cast) => {
      const { seller, buyer, order } = await ordered(cast);
      await buyer.pay(order);
      const event = await buyer.createEvent(longTitle());
      const listed = [await buyer.listTicket(event, 2500), await buyer.listTicket(event, 123_456, { section: 'Upper Circle', seat: '7' })];
      await seller.reserve(listed[0]!);
      return seen(buyer, '/tickets');
    },
  },
  {
    name: 'a listing to change',
    open: async ({ someone }) => {
      const seller = await someone('Sally');
      const event = await seller.createEvent(longTitle());
      await seller.listTicket(event, 123_456, { section: 'Upper Circle', seat: '7' });
      const page = await seen(seller, `/selling?event=${event.id}`);
      await page.getByText('Change', { exact: true }).click();
      return page;
    },
  },
  {
    name: 'an order of which a part was refunded',
    open: async (cast) => {
      const { seller, buyer, order } = await ordered(cast);
      await buyer.pay(order);
      await seller.refund(order.tickets[0]!);
      return seen(buyer, `/orders/${order.id}`);
    },
  },
  {
    name: 'the question whether to refund',
    open: async (cast) => {
      const { seller, buyer, order } = await ordered(cast);
      await buyer.pay(order);
      return seen(seller, `/tickets/${order.tickets[0]!.id}/refund`);
    },
  },
  {
    name: 'tickets, refunded and sold',
    open: async (cast) => {
      const { seller, buyer, order } = await ordered(cast);
      await buyer.pay(order);
      await seller.refund(order.tickets[0]!);
      // A user who was refunded and also sells.
      const event = await buyer.createEvent(longTitle());
      const listed = await buyer.listTicket(event, 123_456, { section: 'Upper Circle, restricted view', seat: '7' });
      await seller.pay(await seller.reserve(listed));
      return seen(buyer, '/tickets');
    },
  },
  {
    name: 'tickets to print',
    open: async (cast) => {
      const { buyer, order } = await ordered(cast);
      await buyer.pay(order);
      return seen(buyer, `/orders/${order.id}/tickets`);
    },
  },
  {
    name: 'tickets by a mailed link',
    open: async (cast) => {
      const { buyer, order } = await ordered(cast);
      await buyer.pay(order);
      return seen(await cast.visitor(), ticketsLink(await mailTo(buyer.email, 'Your 2 tickets for')));
    },
  },
  {
    name: 'the checkout of a guest, whose address has an account',
    open: async ({ someone, visitor }) => {
      const [seller, guest] = [await someone('Sally'), await visitor()];
      const event = await seller.createEvent(longTitle());
      await seller.listTickets(event, 3, 123_456, 'Upper Circle, restricted view');
      const page = await seen(guest, `/events/${event.id}`);
      await page.getByRole('button', { name: /^Reserve Upper Circle/ }).click();
      await page.getByLabel('E-mail').fill(seller.email);
      await page.getByLabel('Name').fill('Bartholomew Featherstonehaugh-Cholmondeley');
      await page.getByRole('button', { name: 'Go on to pay' }).click();
      await expect(page.getByRole('button', { name: 'Mail me a link' })).toBeVisible();
      return page;
    },
  },
  { name: 'tickets before the first', open: async ({ someone }) => seen(await someone('Ann'), '/tickets') },
  { name: 'help', open: async ({ visitor }) => seen(await visitor(), '/help') },
  { name: 'signing up', open: async ({ visitor }) => seen(await visitor(), '/signup') },
  {
    name: 'signing in, refused',
    open: async ({ visitor }) => {
      const guest = await visitor();
      const page = await seen(guest, '/signin?next=/sell');
      await page.getByLabel('E-mail').fill(guest.email);
      await page.getByLabel('Password').fill('wrong horse');
      await page.getByRole('button', { name: 'Sign in', exact: true }).click();
      await expect(page.getByRole('alert')).toBeVisible();
      return page;
    },
  },
  { name: 'the account', open: async ({ someone }) => seen(await someone('Ann'), '/account') },
  {
    name: 'the account, refused a new password',
    open: async ({ someone }) => {
      const page = await seen(await someone('Ann'), '/account');
      await page.getByRole('button', { name: 'Change the password' }).click();
      await expect(page.getByRole('alert')).toBeVisible();
      return page;
    },
  },
  { name: 'the end of an account', open: async ({ someone }) => seen(await someone('Ann'), '/account/delete') },
  { name: 'the question for a forgotten password', open: async ({ visitor }) => seen(await visitor(), '/forgot') },
  { name: 'a link that works no more', open: async ({ visitor }) => seen(await visitor(), '/reset?token=used') },
  { name: 'the page of components', open: async ({ visitor }) => seen(await visitor(), '/ui') },
  {
    name: 'what is not there',
    open: async ({ visitor, allow }) => {
      allow(/status of 404/);
      return seen(await visitor(), '/nothing-here');
    },
  },
];

/** Needs a server with short holds. */
export const EXPIRED: Stop = {
  name: 'an order whose time ran out',
  open: async (cast) => {
    const { buyer, order } = await ordered(cast);
    await expect.poll(async () => (await buyer.look(order)).status, { timeout: 20_000 }).toBe('expired');
    return seen(buyer, `/orders/${order.id}`);
  },
};
