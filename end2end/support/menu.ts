// The parts of a page that are collapsed on a phone.
import { expect, type Locator, type Page } from '@playwright/test';

/** The main menu, collapsed or not. */
const menu = (page: Page): Locator => page.locator('#menu');

/** Whether the menu has this link, collapsed or not. */
export async function expectInMenu(page: Page, name: string, is = true): Promise<void> {
  await expect(menu(page).locator('a', { hasText: new RegExp(`^\\s*${name}\\s*$`) })).toHaveCount(is ? 1 : 0);
}

/** Follows a link of the main menu, which a phone opens first. */
export async function goByMenu(page: Page, name: string): Promise<void> {
  const opener = page.getByRole('button', { name: 'Menu', exact: true });
  const link = page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name });
  if ((await opener.isVisible()) && !(await link.isVisible())) await opener.click();
  await link.click();
}

/** Switches between light and dark. */
export async function switchLight(page: Page): Promise<void> {
  const opener = page.getByRole('button', { name: 'Menu', exact: true });
  const isFolded = await opener.isVisible();
  if (isFolded) await opener.click();
  await page.getByRole('button', { name: 'Switch between light and dark' }).click();
  if (isFolded) await page.getByRole('button', { name: 'Close', exact: true }).click();
}

const isOpen = (summary: Locator): Promise<boolean> =>
  summary.evaluate((summary) => (summary.parentElement as HTMLDetailsElement).open);

/** A row of filters on the home page, expanded if a phone has collapsed it. */
export async function filters(page: Page, name: 'Days' | 'Categories' | 'Cities'): Promise<Locator> {
  const line = page.locator('.filter > summary').filter({ hasText: `${name}:` });
  const row = page.getByRole('navigation', { name });
  if (await line.isVisible()) {
    // Opening this one may close another.
    if (!(await isOpen(line))) await line.click();
  }
  await expect(row).toBeVisible();
  return row;
}

/** The contents of an open order, which are collapsed on a phone. */
export async function summary(page: Page): Promise<Locator> {
  const aside = page.getByRole('complementary', { name: 'What you are buying' });
  const line = aside.locator('summary');
  await expect(aside).toBeVisible();
  if ((await line.isVisible()) && !(await isOpen(line))) await line.click();
  return aside;
}
