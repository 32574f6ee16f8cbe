// Signing up, in and out, and changing an account.
import type { Page } from '@playwright/test';
import { expect, test } from '../support/fixtures.ts';
import { mailTo } from '../support/mail.ts';
import { expectInMenu } from '../support/menu.ts';
import { PASSWORD, type Person } from '../support/people.ts';


/** A member who is signed out. */
async function away(person: Person): Promise<Person> {
  await person.page.context().clearCookies();
  return person;
}

async function signIn(page: Page, email: string, password = PASSWORD): Promise<void> {
  await page.getByLabel('E-mail').fill(email);
  await page.getByLabel('Password').fill(password);
  await page.getByRole('button', { name: 'Sign in', exact: true }).click();
}

test('a wrong password and an unknown address are refused alike, and the address is kept', async ({ someone }) => {
  const { page, email } = await away(await someone('Ann'));
  await page.goto('/signin');
  for (const [address, password] of [[email, 'wrong horse'], [`nobody-${email}`, PASSWORD]] as const) {
    await signIn(page, address, password);
    await expect(page.getByRole('alert')).toHaveText("That e-mail and password don't match an account.");
    await expect(page.getByLabel('E-mail')).toHaveValue(address);
    await expect(page.getByLabel('Password')).toHaveValue('');
  }
  await signIn(page, email.toUpperCase());
  await expectInMenu(page, 'Account');
});

test('an invalid sign-up shows errors at the fields and keeps the input', { tag: '@every-browser' }, async ({ visitor }) => {
  const { page } = await visitor();
  await page.goto('/signup');
  await page.getByLabel('E-mail').fill('ann@home');
  await page.getByLabel('Password').fill('short');
  await page.getByLabel('Name').fill('Ann <Onym>');
  await page.getByRole('button', { name: 'Sign up' }).click();
  await expect(page.getByRole('alert')).toBeVisible();
  await expect(page.getByLabel('E-mail')).toHaveAccessibleDescription('Enter an address like name@example.com.');
  await expect(page.getByLabel('Password')).toHaveAccessibleDescription(/Use at least 8 characters\./);
  await expect(page.getByLabel('E-mail')).toHaveValue('ann@home');
  await expect(page.getByLabel('Password')).toHaveValue('');
  await expect(page.getByLabel('Name')).toHaveValue('Ann <Onym>');
  await page.reload();
  await expect(page.getByRole('alert'), 'said once').toBeHidden();
});

test('an address that has an account already is refused at its field', async ({ someone }) => {
  const { page, email } = await away(await someone('Ann'));
  await page.goto('/signup');
  await page.getByLabel('E-mail').fill(email);
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Sign up' }).click();
  await expect(page.getByLabel('E-mail')).toHaveAccessibleDescription('There is an account with this address. Sign in instead.');
});

test('a user stays signed in when the browser is closed, by a persistent cookie', async ({ someone }) => {
  const { page, email } = await away(await someone('Ann'));
  await page.goto('/signin');
  await signIn(page, email);
  await expectInMenu(page, 'Account');

  const context = page.context();
  await page.close();
  const cookies = await context.cookies();
  const session = cookies.find((cookie) => cookie.name === 'sid');
  expect(session?.expires, 'a day at which it ends').toBeGreaterThan(Date.now() / 1000 + 7 * 24 * 3600);
  expect(session).toMatchObject({ httpOnly: true, sameSite: 'Lax', path: '/' });
  const later = await context.newPage();
  await later.goto('/account');
  await expect(later.getByText(email)).toBeVisible();
});

test('signing out ends the session in every tab', async ({ someone }) => {
  const ann = await someone('Ann');
  const second = await ann.anotherTab();
  await second.goto('/orders');
  await ann.page.goto('/account');
  await ann.page.getByRole('main').getByRole('button', { name: 'Sign out' }).click();
  await expect(ann.page.getByRole('status')).toHaveText('You are signed out.');
  await expectInMenu(ann.page, 'Sign in');
  await expectInMenu(ann.page, 'Orders', false);
  await second.reload();
  await expect(second).toHaveURL(/\/signin\?next=/);
});

test('others see a new name from then on', async ({ someone, visitor }) => {
  const [ann, guest] = [await someone('Ann'), await visitor()];
  const event = await ann.createEvent();
  await ann.listTicket(event, 2500);
  await ann.page.goto('/account');
  await expect(ann.page.getByText(ann.email)).toBeVisible();
  await expect(ann.page.getByLabel('Name')).toHaveValue('Ann');
  await ann.page.getByLabel('Name').fill('Ann & Company');
  await ann.page.getByRole('button', { name: 'Save' }).click();
  await expect(ann.page.getByRole('status')).toHaveText('Others now see you as Ann & Company.');
  await expect(ann.page.getByLabel('Name')).toHaveValue('Ann & Company');
  await guest.page.goto(`/events/${event.id}`);
  await expect(guest.page.getByText('from Ann & Company')).toBeVisible();
});

test('an empty name is refused at its field', async ({ someone }) => {
  const { page } = await someone('Ann');
  await page.goto('/account');
  await page.getByLabel('Name').fill('   ');
  await page.getByRole('button', { name: 'Save' }).click();
  await expect(page.getByLabel('Name')).toHaveAccessibleDescription(/This can't be empty\./);
  await page.goto('/account');
  await expect(page.getByLabel('Name')).toHaveValue('Ann');
});

for (const [purpose, email] of [['buy tickets', 'buyer@stagedoor.example'], ['sell tickets', 'seller@stagedoor.example']] as const) {
  test(`the demo account to ${purpose} is one click away`, async ({ page }) => {
    await page.goto('/signin');
    const account = page.getByRole('region', { name: 'Demo accounts' }).getByRole('listitem').filter({ hasText: email });
    await expect(account).toContainText('stagedoor-demo');
    await account.getByRole('button').click();
    await expectInMenu(page, 'Account');
    await page.goto('/account');
    await expect(page.getByRole('main').getByText(email)).toBeVisible();
    if (purpose === 'sell tickets') {
      await page.goto('/tickets');
      await expect(page.getByRole('region', { name: 'Yours for sale' }).getByText('Midnight Radio Hour').first()).toBeVisible();
    }
  });
}

test('a page for members leads to signing in and back to itself', async ({ someone }) => {
  const ann = await someone('Ann');
  const event = await ann.createEvent();
  const { page, email } = await away(ann);
  await page.goto(`/sell?event=${event.id}`);
  await expect(page.getByRole('heading', { name: 'Sign in', level: 1 })).toBeVisible();
  await signIn(page, email, 'not this one');
  await expect(page.getByRole('alert')).toBeVisible();
  await signIn(page, email);
  await expect(page).toHaveURL(new RegExp(`/sell\\?event=${event.id}$`));
  await expect(page.getByLabel('How many alike')).toBeVisible();
});

test('a visitor who reserves before signing in or up comes back to their selection', async ({ someone, visitor }) => {
  const [seller, guest] = [await someone('Sally'), await visitor()];
  const event = await seller.createEvent();
  await seller.listTicket(event, 2500, { section: 'Stalls' });
  const { page } = guest;
  await page.goto(`/events/${event.id}`);
  await page.getByRole('button', { name: 'Reserve Stalls at £25.00' }).click();
  await page.getByRole('main').getByRole('link', { name: 'Sign up' }).click();
  await page.getByLabel('E-mail').fill(guest.email);
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Sign up' }).click();
  await expect(page.getByRole('main')).toContainText('1 × Stalls from Sally · £25.00 in all');
  await page.getByRole('button', { name: 'Reserve 1 ticket and pay' }).click();
  await expect(page.getByRole('timer')).toBeVisible();
});

test('the way back never leads to another site', async ({ someone }) => {
  const { page, email } = await away(await someone('Ann'));
  await page.goto('/signin?next=//example.com/evil');
  await signIn(page, email);
  await expectInMenu(page, 'Account');
  expect(new URL(page.url()).pathname).toBe('/');
});

test('pages for members are hidden from visitors', async ({ page }) => {
  for (const path of ['/orders', '/tickets', '/account', '/sell', '/selling']) {
    await page.goto(path);
    await expect(page).toHaveURL(new RegExp(`/signin\\?next=${path}$`));
  }
});

test('a form that is sent empty leads from a summary to its fields', async ({ visitor }) => {
  const { page } = await visitor();
  await page.goto('/signup');
  await page.getByRole('button', { name: 'Sign up' }).click();
  const summary = page.getByRole('alert');
  await expect(summary).toBeFocused();
  await expect(summary.getByRole('link')).toHaveText([/^E-mail: /, /^Password: /]);
  await summary.getByRole('link', { name: 'Password' }).click();
  await expect(page.getByLabel('Password')).toBeFocused();
  await expect(page.getByLabel('Password')).toHaveAccessibleDescription(/Use at least 8 characters\./);
});

test('a password can be seen while it is typed, and hidden again', { tag: '@with-javascript' }, async ({ visitor }) => {
  const { page } = await visitor();
  await page.goto('/signup');
  const password = page.getByLabel('Password');
  await password.fill(PASSWORD);
  await page.getByRole('button', { name: 'Show the password' }).click();
  await expect(password).toHaveAttribute('type', 'text');
  await expect(password).toHaveValue(PASSWORD);
  await page.getByRole('button', { name: 'Hide the password' }).click();
  await expect(password).toHaveAttribute('type', 'password');
});

test('a forgotten password is set by the link in a mail, which works once', async ({ someone }) => {
  const { page, email } = await away(await someone('Ann'));
  await page.goto('/signin');
  await page.getByRole('link', { name: 'Forgotten your password?' }).click();
  await page.getByLabel('E-mail').fill(email);
  await page.getByRole('button', { name: 'Mail me a link' }).click();
  await expect(page.getByRole('status')).toContainText('If there is an account with that address');

  const link = /\/reset\?token=[0-9a-f]+/.exec(await mailTo(email, 'Set a new password'))?.[0] ?? 'no link';
  await page.goto(link);
  await page.goto(link);
  await page.getByLabel('New password').fill('short');
  await page.getByRole('button', { name: 'Set the password' }).click();
  await expect(page.getByLabel('New password')).toHaveAccessibleDescription(/Use at least 8 characters\./);
  await page.getByLabel('New password').fill('a rather better one');
  await page.getByRole('button', { name: 'Set the password' }).click();
  await expect(page.getByRole('status')).toHaveText('Your new password is set, and you are signed in.');
  await page.goto(link);
  await expect(page.getByText('This link has been used')).toBeVisible();
  await mailTo(email, 'Your password was changed');

  await page.context().clearCookies();
  await page.goto('/signin');
  await signIn(page, email);
  await expect(page.getByRole('alert')).toBeVisible();
  await signIn(page, email, 'a rather better one');
  await expectInMenu(page, 'Account');
});

test('a new password signs out everywhere else', async ({ someone, visitor }) => {
  const [ann, other] = [await someone('Ann'), await visitor()];
  await other.page.goto('/signin');
  await signIn(other.page, ann.email);
  await expectInMenu(other.page, 'Account');
  const { page } = ann;
  await page.goto('/account');
  await page.getByLabel('Current password').fill('not this one');
  await page.getByLabel('New password').fill('a rather better one');
  await page.getByRole('button', { name: 'Change the password' }).click();
  await expect(page.getByRole('alert')).toBeFocused();
  await expect(page.getByLabel('Current password')).toHaveAccessibleDescription('That is not your password.');
  await page.getByLabel('Current password').fill(PASSWORD);
  await page.getByLabel('New password').fill('a rather better one');
  await page.getByRole('button', { name: 'Change the password' }).click();
  await expect(page.getByRole('status')).toContainText('Your password is changed.');
  await other.page.goto('/orders');
  await expect(other.page).toHaveURL(/\/signin\?next=/);
  await page.goto('/orders');
  await expect(page.getByRole('heading', { level: 1 })).toHaveText(/orders/i);
});

test('a user sees their sessions, and ends one', async ({ someone, visitor }) => {
  const [ann, other] = [await someone('Ann'), await visitor()];
  await other.page.goto('/signin');
  await signIn(other.page, ann.email);
  await expectInMenu(other.page, 'Account');
  const { page } = ann;
  await page.goto('/account');
  const places = page.getByRole('region', { name: 'Where you are signed in' }).getByRole('listitem');
  await expect(places).toHaveCount(2);
  await expect(places.first()).toContainText('This browser');
  await expect(places.nth(1)).toContainText('last used in the last hour');
  await places.nth(1).getByRole('button', { name: /^Sign out on Chrome/ }).click();
  await expect(page.getByRole('status')).toHaveText('You are signed out there.');
  await expect(places).toHaveCount(1);
  await other.page.goto('/account');
  await expect(other.page).toHaveURL(/\/signin\?next=/);
});

test('an account is deleted with its password, and its address is free again', async ({ someone }) => {
  const ann = await someone('Ann');
  const event = await ann.createEvent();
  await ann.listTicket(event, 2500);
  const { page, email } = ann;
  await page.goto('/account');
  await page.getByRole('link', { name: 'Delete the account…' }).click();
  await page.getByRole('button', { name: 'Delete my account for good' }).click();
  await expect(page.getByLabel('Password')).toHaveAccessibleDescription(/Enter your password\./);
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Delete my account for good' }).click();
  await expect(page.getByRole('status')).toContainText('Your account is deleted.');
  await expectInMenu(page, 'Sign in');
  await page.goto(`/events/${event.id}`);
  await expect(page.getByText('£25.00')).toBeHidden();

  await page.goto('/signup');
  await page.getByLabel('E-mail').fill(email);
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Sign up' }).click();
  await expectInMenu(page, 'Account');
});

test('an account with an open order is not deleted', async ({ someone }) => {
  const [seller, bea] = [await someone('Sally'), await someone('Bea')];
  await bea.reserve(await seller.listTicket(await seller.createEvent()));
  const { page } = bea;
  await page.goto('/account/delete');
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Delete my account for good' }).click();
  await expect(page.getByRole('alert')).toContainText('You have an order that is not finished.');
});
