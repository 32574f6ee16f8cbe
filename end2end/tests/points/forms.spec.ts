// Forms: errors are shown at their fields, in words; browsers and password managers recognise fields.
import type { Page } from '@playwright/test';
import { expect, test } from '../../support/fixtures.ts';
import { expectInMenu } from '../../support/menu.ts';
import { type Person, PASSWORD } from '../../support/people.ts';

/** Forms with required fields: the path of each, and its button. */
function forms(guest: Person, member: Person): [page: Page, path: string, button: string][] {
  return [
    [guest.page, '/signup', 'Sign up'],
    [guest.page, '/signin', 'Sign in'],
    [guest.page, '/forgot', 'Mail me a link'],
    [member.page, '/account', 'Change the password'],
    [member.page, '/account/delete', 'Delete my account for good'],
  ];
}

/** Submits a form unchanged, and returns the errors of its fields: the link's text by the field's id. */
async function refused(page: Page, path: string, button: string): Promise<Map<string, string>> {
  await page.goto(path);
  await page.getByRole('button', { name: button, exact: true }).click();
  const summary = page.getByRole('alert');
  await expect(summary, `${path} takes the focus to what is wrong`).toBeFocused();
  const links = await summary.getByRole('link').evaluateAll((all) => all.map((link) => [link.getAttribute('href')!.slice(1), link.textContent!] as const));
  expect(links.length, `${path} names fields`).toBeGreaterThan(0);
  return new Map(links);
}

test('26 Field errors: a summary has the focus and leads to each field, which is marked and says the same', { tag: ['@desktop', '@with-javascript'] }, async ({ someone, visitor }) => {
  for (const [page, path, button] of forms(await visitor(), await someone('Ann'))) {
    for (const [id, text] of await refused(page, path, button)) {
      await page.getByRole('alert').getByRole('link', { name: text, exact: true }).click();
      const field = page.locator(`[id="${id}"]`);
      await expect(field, `${path}: ${text}`).toBeFocused();
      await expect(field).toHaveAttribute('aria-invalid', 'true');
      await expect(field).toHaveAccessibleDescription(new RegExp(text.replace(/^[^:]+: /, '').replace(/[.*+?^${}()|[\]\\]/g, '\\$&')));
    }
  }
});

test('27 Error wording: each message is a sentence that says what to do', { tag: '@without-javascript' }, async ({ someone, visitor }) => {
  const said: string[] = [];
  for (const [page, path, button] of forms(await visitor(), await someone('Ann'))) said.push(...(await refused(page, path, button)).values());
  for (const text of said) {
    const message = text.replace(/^[^:]+: /, '');
    expect(message).toMatch(/^[A-Z][^]*\.$/);
    expect(message, 'what to do').toMatch(/\b(?:enter|use|write|choose|type|add|can't be empty)\b/i);
    expect(message).not.toMatch(/invalid|error|failed|null|undefined|[a-z]_[a-z]|\b[45]\d\d\b/i);
  }
});

test('28 Autofill: browsers and phones know what each field is', { tag: ['@mobile', '@with-javascript'] }, async ({ someone, visitor }) => {
  const [seller, buyer, { page: guest }] = [await someone('Sally'), await someone('Bea'), await visitor()];
  const event = await seller.createEvent();
  const order = await buyer.reserve(await seller.listTicket(event));
  const { page } = buyer;
  const expectField = async (on: Page, label: string, attributes: Record<string, string>) => {
    for (const [name, value] of Object.entries(attributes)) await expect(on.getByLabel(label, { exact: true }).first(), `${label} at ${on.url()}`).toHaveAttribute(name, value);
  };
  await guest.goto('/signup');
  await expectField(guest, 'E-mail', { autocomplete: 'email', type: 'email' });
  await expectField(guest, 'Password', { autocomplete: 'new-password', type: 'password' });
  await expect(guest.getByLabel(/^Name/)).toHaveAttribute('autocomplete', 'name');
  await guest.goto('/signin');
  await expectField(guest, 'E-mail', { autocomplete: 'username', type: 'email' });
  await expectField(guest, 'Password', { autocomplete: 'current-password', type: 'password' });
  await page.goto('/account');
  await expectField(page, 'Current password', { autocomplete: 'current-password' });
  await expectField(page, 'New password', { autocomplete: 'new-password' });
  await expect(page.locator('form', { has: page.getByLabel('New password') }).locator('[autocomplete=username]')).toHaveValue(buyer.email);
  await page.goto(`/orders/${order.id}`);
  await expectField(page, 'Card number', { autocomplete: 'cc-number', inputmode: 'numeric' });
  await expectField(page, 'Expiry', { autocomplete: 'cc-exp', inputmode: 'numeric' });
  await expectField(page, 'Security code', { autocomplete: 'cc-csc', inputmode: 'numeric' });
  await seller.page.goto(`/sell?event=${event.id}&step=price`);
  await expect(seller.page.getByLabel('Price of each')).toHaveAttribute('inputmode', 'decimal');
});

test('30 Password rules: eight characters of any kind, pasted or shown as one likes', { tag: ['@desktop', '@with-javascript'] }, async ({ visitor }) => {
  const { page, email } = await visitor();
  await page.goto('/signup');
  const [address, password] = [page.getByLabel('E-mail'), page.getByLabel('Password')];
  const letters = PASSWORD.replace(/[^a-z]/g, '').slice(0, 8);
  await address.fill(letters);
  await address.press('ControlOrMeta+a');
  await address.press('ControlOrMeta+c');
  await password.press('ControlOrMeta+v');
  await expect(password, 'pasted').toHaveValue(letters);
  await page.getByRole('button', { name: 'Show the password' }).click();
  await expect(password).toHaveAttribute('type', 'text');
  await address.fill(email);
  await page.getByRole('button', { name: 'Sign up' }).click();
  await expectInMenu(page, 'Account');
});
