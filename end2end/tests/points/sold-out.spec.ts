// What a visitor can do when an event is sold out.
import { expect, test } from '../../support/fixtures.ts';
import { mailTo } from '../../support/mail.ts';
import type { Event, Person, Ticket } from '../../support/people.ts';

interface SoldOut {
  seller: Person;
  event: Event;
}

async function aSoldOutEvent(someone: (name: string) => Promise<Person>): Promise<SoldOut> {
  const [seller, buyer] = [await someone('Sally'), await someone('Bea')];
  const event = await seller.createEvent();
  await buyer.pay(await buyer.reserve(await seller.listTicket(event)));
  return { seller, event };
}

/** The target of a mail's link. */
const linkIn = (mail: string): string => /\/waiting-list\?token=[0-9a-f]+/.exec(mail)?.[0] ?? 'no link';

test('18 Sold-out path: the waiting list is there, confirms by e-mail, tells once of a ticket, and is left by a link', { tag: '@desktop' }, async ({ someone, visitor }) => {
  test.slow();
  const [{ seller, event }, { page, email }] = [await aSoldOutEvent(someone), await visitor()];
  await page.goto(`/events/${event.id}`);
  const list = page.getByRole('region', { name: 'Tell me when there is a ticket' });
  await expect(list).toContainText('None is reserved for you');
  await list.getByLabel('E-mail').fill('no address');
  await list.getByRole('button', { name: 'Tell me' }).click();
  await expect(list.getByRole('alert')).toBeFocused();
  const field = list.getByLabel('E-mail');
  await expect(field).toHaveAccessibleDescription(/Enter an address like name@example\.com\./);
  await expect(field).toHaveValue('no address');
  await field.fill(email);
  await list.getByRole('button', { name: 'Tell me' }).click();
  await expect(page.getByRole('status').filter({ hasText: 'Please confirm' })).toBeVisible();

  const confirm = linkIn(await mailTo(email, 'Please confirm: tickets for'));
  await page.goto(confirm);
  await page.goto(confirm);
  await expect(page.getByRole('main')).toContainText(event.title);
  await page.getByRole('button', { name: 'Yes, tell me' }).click();
  await expect(page.getByRole('heading', { name: 'You are on the waiting list', level: 1 })).toBeVisible();

  await seller.listTicket(event, 2550);
  const told = await mailTo(email, 'There are tickets for');
  expect(told).toContain('None of them is kept for you');
  await page.goto(linkIn(told));
  await expect(page.getByRole('heading', { name: 'You have been told' })).toBeVisible();
  await page.getByRole('button', { name: 'Forget my address' }).click();
  await expect(page.getByRole('status').filter({ hasText: 'You are off the waiting list' })).toBeVisible();
  await page.goto(confirm);
  await expect(page.getByRole('heading', { name: 'Not on the waiting list' })).toBeVisible();
});

test('18 Sold-out path: a signed-in user joins the list with one click', { tag: '@mobile' }, async ({ someone }) => {
  const [{ event }, ann] = [await aSoldOutEvent(someone), await someone('Ann')];
  const { page, email } = ann;
  await ann.confirmAddress();
  await page.goto(`/events/${event.id}`);
  await expect(page.getByLabel('E-mail')).toHaveValue(email);
  await page.getByLabel('How many').selectOption('2');
  await page.getByRole('button', { name: 'Tell me' }).click();
  const list = page.getByRole('region', { name: 'You are on the waiting list' });
  await expect(list).toContainText('2 tickets');
  await mailTo(email, 'You are on the waiting list');
  await list.getByRole('button', { name: 'Leave the list' }).click();
  await expect(page.getByRole('status').filter({ hasText: 'You are off the waiting list' })).toBeVisible();
  await expect(page.getByRole('button', { name: 'Tell me' })).toBeVisible();
});

test('18 Sold-out path: it opens as the last ticket goes, keeps what is typed, and closes when one is back', { tag: ['@desktop', '@with-javascript'] }, async ({ someone, visitor }) => {
  const [seller, buyer, { page }] = [await someone('Sally'), await someone('Bea'), await visitor()];
  const event = await seller.createEvent();
  const ticket: Ticket = await seller.listTicket(event);
  await page.goto(`/events/${event.id}`);
  const list = page.getByRole('region', { name: 'Tell me when there is a ticket' });
  await expect(page.getByRole('button', { name: /^Reserve/ })).toBeVisible();
  await expect(list).toBeHidden();
  await buyer.pay(await buyer.reserve(ticket));
  await expect(page.getByText('Sold out.', { exact: true })).toBeVisible();
  await list.getByLabel('E-mail').fill('half an addr');

  const second = await seller.listTicket(event);
  await expect(page.getByRole('button', { name: /^Reserve/ })).toBeVisible();
  await expect(list).toBeHidden();
  await buyer.reserve(second);
  await expect(list).toBeVisible();
  await expect(list.getByLabel('E-mail')).toHaveValue('half an addr');
});
