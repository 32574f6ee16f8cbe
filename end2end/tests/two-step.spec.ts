// Two-step sign-in, and forms that outlive a session.
import { createHmac, randomUUID } from 'node:crypto';
import type { Page } from '@playwright/test';
import { expectNothingWrong } from '../support/accessible.ts';
import { expect, test } from '../support/fixtures.ts';
import { mailTo } from '../support/mail.ts';
import { PASSWORD } from '../support/people.ts';

/** The code that an authenticator app shows for this key, the given number of 30-second steps from now. */
function codeOf(key: string, steps = 0): string {
  const bits = [...key.replaceAll(' ', '')].map((letter) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(letter).toString(2).padStart(5, '0')).join('');
  const secret = Buffer.from(bits.match(/.{8}/g)!.map((byte) => Number.parseInt(byte, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000) + steps));
  const mac = createHmac('sha1', secret).update(counter).digest();
  const offset = mac.at(-1)! & 0xf;
  return String((mac.readUInt32BE(offset) & 0x7fffffff) % 1_000_000).padStart(6, '0');
}

/** Axe needs JavaScript in the page. */
async function lookAt(page: Page): Promise<void> {
  if (!test.info().project.name.endsWith('nojs')) {
    await expectNothingWrong(page);
  }
}

async function signIn(page: Page, email: string): Promise<void> {
  await page.getByLabel('E-mail').fill(email);
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Sign in', exact: true }).click();
}

test('a code of an app is asked for once it is set up', async ({ someone, visitor }) => {
  test.slow();
  const [{ page, email }, phone] = [await someone('Ann'), await visitor()];
  await page.goto('/account');
  await page.getByRole('region', { name: 'Two-step sign-in' }).getByRole('link').click();
  await expect(page.getByRole('img', { name: 'QR code for your authenticator app' })).toBeVisible();
  await lookAt(page);
  const key = await page.locator('code.key').innerText();
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByLabel('Code', { exact: true }).fill('not it');
  await page.getByRole('button', { name: 'Turn it on' }).click();
  await expect(page.getByLabel('Code', { exact: true })).toHaveAccessibleDescription(/That code is not right/);
  expect(await page.locator('code.key').innerText(), 'the app that was set up still is').toBe(key);
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByLabel('Code', { exact: true }).fill(codeOf(key));
  await page.getByRole('button', { name: 'Turn it on' }).click();
  const codes = page.getByRole('region', { name: 'Your recovery codes' }).getByRole('listitem');
  await expect(codes).toHaveCount(10);
  await lookAt(page);
  const [one] = await codes.allInnerTexts();
  await mailTo(email, 'Two-step sign-in is on');

  await phone.page.goto('/signin?next=/orders');
  await signIn(phone.page, email);
  await expect(phone.page.getByRole('heading', { name: 'Enter your code' })).toBeVisible();
  await lookAt(phone.page);
  await phone.page.getByLabel('Code', { exact: true }).fill('000000000');
  await phone.page.getByRole('button', { name: 'Sign in', exact: true }).click();
  await expect(phone.page.getByRole('alert')).toContainText('That code is not right');
  // The current code was used to turn it on: the next one is already valid.
  await phone.page.getByLabel('Code', { exact: true }).fill(codeOf(key, 1));
  await phone.page.getByRole('button', { name: 'Sign in', exact: true }).click();
  await expect(phone.page).toHaveURL(/\/orders$/);

  const lost = (await visitor()).page;
  await lost.goto('/signin');
  await signIn(lost, email);
  await lost.getByText("You don't have your app at hand?").click();
  await lost.getByLabel('Recovery code').fill(one!);
  await lost.getByRole('button', { name: 'Sign in with it' }).click();
  await expect(lost).not.toHaveURL(/signin/);
  await lost.goto('/account/second-factor');
  await expect(lost.getByText('You have 9 recovery codes left.')).toBeVisible();
});

test('input is restored after signing in again', async ({ someone }) => {
  const { page, email } = await someone('Ann');
  await page.goto('/sell');
  await page.getByText('Not listed yet').click();
  await page.getByLabel('Title').fill('The Long Night');
  await page.getByLabel('Venue', { exact: true }).fill('Old Hall');
  await page.context().clearCookies();
  await page.getByRole('button', { name: 'Create the event' }).click();
  await expect(page.getByRole('heading', { name: 'Sign in', level: 1 })).toBeVisible();
  await signIn(page, email);
  await expect(page.getByRole('alert')).toContainText('You were signed out, so nothing was saved.');
  await expect(page.getByLabel('Title')).toHaveValue('The Long Night');
  await expect(page.getByLabel('Venue', { exact: true })).toHaveValue('Old Hall');
});

test('an empty event form shows all errors at once', async ({ someone }) => {
  const { page } = await someone('Ann');
  await page.goto('/sell');
  await page.getByText('Not listed yet').click();
  await page.getByRole('button', { name: 'Create the event' }).click();
  const wrong = page.getByRole('alert').getByRole('link');
  for (const field of ['Title', 'Venue', 'City', 'Country', 'Date', 'Currency']) {
    await expect(wrong.filter({ hasText: new RegExp(`^${field}:`) })).toHaveCount(1);
  }
});

test('a browser without cookies is told so, and nothing is held', async ({ someone, visitor }) => {
  const seller = await someone('Sally');
  const event = await seller.createEvent();
  await seller.listTickets(event, 1, 2500, 'Stalls');
  const { page } = await visitor();
  await page.goto(`/events/${event.id}`);
  await page.getByRole('button', { name: 'Reserve Stalls at £25.00' }).click();
  // As if cookies were blocked: the shop's cookies are never sent back.
  await page.context().clearCookies();
  await page.getByLabel('E-mail').fill(`gus-${randomUUID()}@example.com`);
  await page.getByLabel('Name').fill('Gus');
  await page.context().clearCookies();
  await page.getByRole('button', { name: 'Go on to pay' }).click();
  await expect(page.getByRole('alert')).toContainText('Your browser does not store cookies for this site');
  const tickets = await (await seller.page.request.get(`/api/tickets?eventId=${event.id}`)).json();
  expect(tickets.tickets[0].status).toBe('available');
});
