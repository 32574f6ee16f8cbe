// Buying as a guest: with an address and a name, nothing asked for twice.
import type { Page } from '@playwright/test';
import { expect, test } from '../../support/fixtures.ts';
import { mailTo, ticketsLink } from '../../support/mail.ts';
import { expectInMenu } from '../../support/menu.ts';
import { CARDS, expectPaid } from '../../support/paying.ts';
import { type Event, type Person, unique } from '../../support/people.ts';

/** An event with three tickets in the stalls. */
async function stalls(someone: (name: string) => Promise<Person>): Promise<Event> {
  const seller = await someone('Sally');
  const event = await seller.createEvent();
  await seller.listTickets(event, 3, 2500, 'Stalls');
  return event;
}

/** Chooses two of them, and goes to the form for the buyer's details. */
async function choose(page: Page, event: Event): Promise<void> {
  await page.goto(`/events/${event.id}`);
  await page.getByLabel('How many, Stalls').selectOption('2');
  await page.getByRole('button', { name: 'Reserve Stalls at £25.00' }).click();
  await expect(page.getByRole('heading', { name: 'Buy as a guest' })).toBeVisible();
}

async function goOn(page: Page, email: string, name: string): Promise<void> {
  await page.getByLabel('E-mail').fill(email);
  await page.getByLabel('Name').fill(name);
  await page.getByRole('button', { name: 'Go on to pay' }).click();
}

test('6 Guest checkout: address and name are enough to pay, and no password is asked for', { tag: '@every-browser' }, async ({ someone, visitor, payWith }) => {
  const event = await stalls(someone);
  const [{ page, email }, fresh] = [await visitor(), await visitor()];
  await choose(page, event);
  await expect(page.locator('input[type=password]')).toHaveCount(0);
  await expect(page.getByRole('main')).toContainText('2 × Stalls from Sally · £50.00 in all');
  await goOn(page, email, 'Gus Guest');
  await expect(page).toHaveURL(/\/orders\//);
  await expect(page.locator('input[type=password]')).toHaveCount(0);
  await payWith(page, CARDS.good);
  await expectPaid(page);
  await expect(page.getByRole('main')).toContainText('Gus Guest');

  // The mail brings the tickets to any browser.
  await fresh.page.goto(ticketsLink(await mailTo(email, 'Your 2 tickets for')));
  await expect(fresh.page.getByRole('img', { name: /^QR code of the ticket/ })).toHaveCount(2);
});

test('7 Guest option first: on a small phone it is visible without scrolling, before signing in', { tag: ['@mobile'] }, async ({ someone, visitor }) => {
  const event = await stalls(someone);
  const { page } = await visitor();
  await page.setViewportSize({ width: 360, height: 640 });
  await choose(page, event);
  const main = page.getByRole('main');
  for (const part of [main.getByRole('heading', { name: 'Buy as a guest' }), main.getByLabel('E-mail'), main.getByLabel('Name'), main.getByRole('button', { name: 'Go on to pay' })]) {
    await expect(part).toBeInViewport({ ratio: 1 });
  }
  const top = async (what: 'Buy as a guest' | 'Or with an account') => (await main.getByRole('region', { name: what }).boundingBox())!.y;
  expect(await top('Buy as a guest')).toBeLessThan(await top('Or with an account'));
});

test('45 No redundant entry: a guest who was refused has nothing to type again, and nothing to choose', { tag: ['@mobile', '@without-javascript'] }, async ({ someone, visitor }) => {
  const event = await stalls(someone);
  const { page, email } = await visitor();
  await choose(page, event);
  await goOn(page, 'nonsense', 'Gus Guest');
  await expect(page.getByLabel('E-mail')).toHaveAccessibleDescription(/Enter an address like name@example\.com\./);
  await expect(page.getByLabel('Name')).toHaveValue('Gus Guest');
  await page.getByLabel('E-mail').fill(email);
  await page.getByRole('button', { name: 'Go on to pay' }).click();
  await expect(page.getByRole('main')).toContainText('Total£50.00');
});

test('a guest who comes back is mailed a link that leads on to what they chose', async ({ someone, visitor }) => {
  const event = await stalls(someone);
  const [before, { page }] = [await visitor(), await visitor()];
  await choose(before.page, event);
  await goOn(before.page, before.email, 'Gus');
  await expect(before.page.getByRole('timer').or(before.page.getByText('Load the page again')).first()).toBeVisible();
  await before.page.getByRole('button', { name: 'Cancel and give the tickets back' }).click();

  // The same guest in another browser.
  await choose(page, event);
  await goOn(page, before.email, unique('Gus'));
  await expect(page.getByRole('status')).toContainText('We have sent a link to that address');
  await expectInMenu(page, 'Sign in');
  const [link] = /\/reset\?token=\w+/.exec(await mailTo(before.email, 'Your link to sign in')) ?? [];
  await page.goto(link!);
  await page.getByRole('main').getByRole('button', { name: 'Sign in' }).click();
  await expect(page.getByRole('main')).toContainText('2 × Stalls from Sally');
  await page.getByRole('button', { name: 'Reserve 2 tickets and pay' }).click();
  await expect(page.getByRole('main')).toContainText('Total£50.00');

  // Setting a password turns a guest into a member.
  await page.goto('/account');
  await page.getByLabel('New password').fill('correct horse battery staple');
  await page.getByRole('button', { name: 'Set a password' }).click();
  await expect(page.getByRole('status')).toContainText('Your password is changed.');
  await expect(page.getByRole('button', { name: 'Change the password' })).toBeVisible();
});
